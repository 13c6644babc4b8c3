"""Payloads for workers around SGLang: aggregated, disaggregated, prefill, image diffusion.

A worker in tokenizer mode has no payload: register its endpoint without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serinus.errors import SettingsError, excerpt
from serinus.payloads.base import HealthCheckPayload
from serinus.payloads.bos import FALLBACK_BOS, bos_at, bos_or_fallback

__all__ = [
    "FAKE_BOOTSTRAP_HOST",
    "SglangDisaggHealthCheckPayload",
    "SglangHealthCheckPayload",
    "SglangImageDiffusionHealthCheckPayload",
    "SglangPrefillHealthCheckPayload",
]

FAKE_BOOTSTRAP_HOST = "2.2.2.2"
"""SGLang's own constant (`sglang.srt.disaggregation.utils`): no KV cache is transferred to it."""

_PLACES = ("tokenizer_manager.tokenizer", "tokenizer")


class SglangHealthCheckPayload(HealthCheckPayload):
    """One token from an aggregated worker, asked by token ids or, with `use_text_input`, by text.

    `engine` is the `sgl.Engine` whose tokenizer manager knows the BOS id; 1 without one.

    >>> SglangHealthCheckPayload(environ={}).to_dict()["token_ids"]
    [1]
    """

    def __init__(
        self,
        engine: object = None,
        use_text_input: bool = False,  # noqa: FBT001, FBT002 - the reference's signature
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.default_payload = _flat(_prompt(engine, text=use_text_input))
        super().__init__(environ=environ)


class SglangDisaggHealthCheckPayload(HealthCheckPayload):
    """The same for both halves of a disaggregated pair, with a bootstrap that needs no peer.

    The bootstrap port is the engine's own, 0 without one. Room 0 always lands on data-parallel
    rank 0: this canary proves that rank and no other.
    """

    def __init__(
        self,
        engine: object = None,
        use_text_input: bool = False,  # noqa: FBT001, FBT002 - the reference's signature
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.default_payload = _bootstrapped(engine, text=use_text_input)
        super().__init__(environ=environ)


class SglangPrefillHealthCheckPayload(HealthCheckPayload):
    """One token from a prefill worker, in the form its handler takes.

    `form="wrapped"` puts the request under `request` and the limits under `sampling_params`;
    `form="bootstrap"` is the newer flat form of SglangDisaggHealthCheckPayload. Raises
    SettingsError for another form.

    >>> SglangPrefillHealthCheckPayload(environ={}).to_dict()["request"]
    {'token_ids': [1]}
    """

    def __init__(
        self,
        engine: object = None,
        use_text_input: bool = False,  # noqa: FBT001, FBT002 - the reference's signature
        *,
        form: str = "wrapped",
        environ: Mapping[str, str] | None = None,
    ) -> None:
        if form == "wrapped":
            self.default_payload = {
                "request": _prompt(engine, text=use_text_input),
                "sampling_params": {
                    "max_new_tokens": 1,
                    "temperature": 0.0,
                    "top_p": 1.0,
                    "top_k": -1,
                    "ignore_eos": False,
                },
            }
        elif form == "bootstrap":
            self.default_payload = _bootstrapped(engine, text=use_text_input)
        else:
            shown = excerpt(form, limit=80)
            raise SettingsError(f"form: {shown!r} is not known; accepted: wrapped, bootstrap")
        super().__init__(environ=environ)


class SglangImageDiffusionHealthCheckPayload(HealthCheckPayload):
    """One small image in one step, from a worker that serves the model at `model_path`."""

    def __init__(self, model_path: str, *, environ: Mapping[str, str] | None = None) -> None:
        self.default_payload = {
            "prompt": "test",
            "model": model_path,
            "n": 1,
            "size": "512x512",
            "num_inference_steps": 1,
            "guidance_scale": 7.5,
            "response_format": "b64_json",
        }
        super().__init__(environ=environ)


def _prompt(engine: object, *, text: bool) -> dict[str, Any]:
    return {"prompt": "Test"} if text else {"token_ids": [_bos_of_engine(engine)]}


def _flat(prompt: dict[str, Any]) -> dict[str, Any]:
    return {
        **prompt,
        "stop_conditions": {"max_tokens": 1, "ignore_eos": False},
        "sampling_options": {"temperature": 0.0, "top_p": 1.0, "top_k": -1},
        "eos_token_ids": [],
        "annotations": [],
    }


def _bootstrapped(engine: object, *, text: bool) -> dict[str, Any]:
    return {
        **_flat(_prompt(engine, text=text)),
        "bootstrap_info": {
            "bootstrap_host": FAKE_BOOTSTRAP_HOST,
            "bootstrap_port": _bootstrap_port(engine),
            "bootstrap_room": 0,
        },
    }


def _bos_of_engine(engine: object) -> int:
    if engine is None:
        return FALLBACK_BOS
    return bos_or_fallback(bos_at(engine, _PLACES), of=engine)


def _bootstrap_port(engine: object) -> int:
    manager = getattr(engine, "tokenizer_manager", None)
    for owner in (manager, engine):
        arguments = getattr(owner, "server_args", None)
        port = getattr(arguments, "disaggregation_bootstrap_port", None)
        if isinstance(port, int):
            return port
    return 0
