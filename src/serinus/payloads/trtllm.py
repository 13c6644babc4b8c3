"""Payloads for workers around TensorRT-LLM, aggregated or disaggregated.

An encoder has no payload: it brings no token, so nothing minimal can prove it. `for_mode` says so
with None, which is what `serve_endpoint(…, health_check_payload=None)` takes for "no canary".
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from serinus.errors import SettingsError, excerpt
from serinus.payloads.base import HealthCheckPayload
from serinus.payloads.bos import FALLBACK_BOS, bos_of, bos_or_fallback

__all__ = ["TrtllmHealthCheckPayload"]

_AGGREGATED = frozenset({"", "agg", "aggregated", "prefill_and_decode"})
_PAIRED = frozenset({"prefill", "decode"})
_ENCODER = frozenset({"encode", "encoder"})


class TrtllmHealthCheckPayload(HealthCheckPayload):
    """One token from TensorRT-LLM.

    `tokenizer` is the engine's, which may wrap the real one as `.tokenizer`. The mode is None or
    "aggregated" (also "agg", "prefill_and_decode"), "prefill" or "decode"; an enum's value is
    taken. Prefill and decode workers are asked for context and generation in one, so that the
    canary needs no peer. Raises SettingsError for an encoder and for an unknown mode.

    >>> TrtllmHealthCheckPayload(None, "prefill", environ={}).to_dict()["disaggregated_params"]
    {'request_type': 'context_and_generation'}
    """

    def __init__(
        self,
        tokenizer: object = None,
        disaggregation_mode: object = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        mode = _mode_word(disaggregation_mode)
        if mode in _ENCODER:
            raise SettingsError(
                f"disaggregation_mode: {mode!r} has no payload, because an encoder brings no "
                "token; register its endpoint with health_check_payload=None"
            )
        payload = _one_token(_bos_of(tokenizer))
        if mode in _PAIRED:
            payload["disaggregated_params"] = {"request_type": "context_and_generation"}
        self.default_payload = payload
        super().__init__(environ=environ)

    @classmethod
    def for_mode(
        cls,
        disaggregation_mode: object,
        tokenizer: object = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> TrtllmHealthCheckPayload | None:
        """Build the payload of a mode, or None for an encoder, whatever the override says."""
        if _mode_word(disaggregation_mode) in _ENCODER:
            return None
        return cls(tokenizer, disaggregation_mode, environ=environ)


def _mode_word(mode: object) -> str:
    value = mode.value if isinstance(mode, enum.Enum) else mode
    word = "" if value is None else str(value).strip().lower()
    if word not in _AGGREGATED | _PAIRED | _ENCODER:
        raise SettingsError(
            f"disaggregation_mode: {excerpt(value, limit=80)!r} is not known; "
            "accepted: aggregated, prefill, decode, encode"
        )
    return word


def _bos_of(tokenizer: object) -> int:
    if tokenizer is None:
        return FALLBACK_BOS
    return bos_or_fallback(bos_of(tokenizer), of=tokenizer)


def _one_token(bos: int) -> dict[str, Any]:
    return {
        "token_ids": [bos],
        "stop_conditions": {
            "max_tokens": 1,
            "stop": None,
            "stop_token_ids": None,
            "include_stop_str_in_output": False,
            "ignore_eos": False,
            "min_tokens": 0,
        },
        "sampling_options": {
            "temperature": 0.0,
            "top_p": 1.0,
            "top_k": 1,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "seed": None,
        },
    }
