"""Payloads for workers around vLLM: tokens in, text in, prefill, and vLLM-Omni.

A unified decode worker has no payload: register its endpoint without one.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping
from typing import Any

from serinus.payloads.base import HealthCheckPayload
from serinus.payloads.bos import FALLBACK_BOS, bos_at, bos_of, bos_or_fallback

__all__ = [
    "VllmHealthCheckPayload",
    "VllmOmniHealthCheckPayload",
    "VllmPrefillHealthCheckPayload",
]

_PLACES = (
    "tokenizer",  # 0.32: a property over renderer.tokenizer; up to 0.10 a group around the real one
    "renderer.tokenizer",
    "input_processor.tokenizer",
    "processor.tokenizer",
    "input_preprocessor.tokenizer",
    "processor.input_preprocessor.tokenizer",
)
_LOOKUP_SECONDS = 10.0

_log = logging.getLogger(__name__)


class VllmHealthCheckPayload(HealthCheckPayload):
    """One token from vLLM, asked by token ids or, with `use_text_input`, by text.

    `engine_client` is the `AsyncLLM` (or alike) whose tokenizer knows the BOS id; without one, or
    without a tokenizer in it, the id is 1.

    >>> payload = VllmHealthCheckPayload(use_text_input=True, environ={}).to_dict()
    >>> payload["prompt"], payload["max_tokens"], payload["_HEALTH_CHECK"]
    ('Test', 1, True)
    """

    def __init__(
        self,
        engine_client: object = None,
        use_text_input: bool = False,  # noqa: FBT001, FBT002 - the reference's signature
        *,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        if use_text_input:
            self.default_payload = {"prompt": "Test", "temperature": 0.0, **_stop_conditions()}
        else:
            self.default_payload = _tokens_in(_bos_of_engine(engine_client))
        super().__init__(environ=environ)


class VllmPrefillHealthCheckPayload(VllmHealthCheckPayload):
    """The same request for a prefill worker, whose handler takes the same shape."""


class VllmOmniHealthCheckPayload(HealthCheckPayload):
    """One token from vLLM-Omni, whose orchestrator gives its tokenizer to async callers only.

    Inside a coroutine: `payload = await VllmOmniHealthCheckPayload.create(async_omni)`.
    """

    def __init__(
        self, bos_token_id: int = FALLBACK_BOS, *, environ: Mapping[str, str] | None = None
    ) -> None:
        self.default_payload = _tokens_in(bos_token_id)
        super().__init__(environ=environ)

    @classmethod
    async def create(
        cls, async_omni: object, *, environ: Mapping[str, str] | None = None
    ) -> VllmOmniHealthCheckPayload:
        """Ask the orchestrator for its tokenizer, for 10 s at most, and build the payload."""
        found = await _awaited_bos(async_omni)
        return cls(bos_or_fallback(found, of=async_omni), environ=environ)


def _tokens_in(bos: int) -> dict[str, Any]:
    return {
        "token_ids": [bos],
        "sampling_options": {"temperature": 0.0},
        "stop_conditions": _stop_conditions(),
    }


def _stop_conditions() -> dict[str, Any]:
    return {
        "max_tokens": 1,
        "stop": None,
        "stop_token_ids": None,
        "include_stop_str_in_output": False,
        "ignore_eos": False,
    }


def _bos_of_engine(engine_client: object) -> int:
    if engine_client is None:
        return FALLBACK_BOS
    found = bos_at(engine_client, _PLACES)
    if found is None:
        found = _asked_bos(engine_client)
    return bos_or_fallback(found, of=engine_client)


def _asked_bos(engine_client: object) -> int | None:
    """Call `get_tokenizer()` where it is a plain function; nothing can be awaited here."""
    ask = getattr(engine_client, "get_tokenizer", None)
    if not callable(ask) or inspect.iscoroutinefunction(ask):
        return None
    try:
        tokenizer = ask()
        if inspect.iscoroutine(tokenizer):
            tokenizer.close()
            return None
        return bos_of(tokenizer)
    except Exception:  # noqa: BLE001 - foreign code raises what it likes
        _log.debug("get_tokenizer() of %s failed", type(engine_client).__name__, exc_info=True)
        return None


async def _awaited_bos(engine: object) -> int | None:
    ask = getattr(engine, "get_tokenizer", None)
    if callable(ask):
        try:
            async with asyncio.timeout(_LOOKUP_SECONDS):
                tokenizer = ask()
                if inspect.isawaitable(tokenizer):
                    tokenizer = await tokenizer
            found = bos_of(tokenizer)
        except Exception:  # noqa: BLE001 - foreign code raises what it likes
            _log.debug("get_tokenizer() of %s failed", type(engine).__name__, exc_info=True)
        else:
            if found is not None:
                return found
    return bos_at(engine, _PLACES)
