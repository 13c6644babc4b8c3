"""The payload of the unified backends: the same request whatever the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from serinus.payloads.base import HealthCheckPayload
from serinus.payloads.bos import FALLBACK_BOS, bos_of, bos_or_fallback

__all__ = ["UnifiedHealthCheckPayload"]


class UnifiedHealthCheckPayload(HealthCheckPayload):
    """One token from any engine; `extras` are laid over the request, the marker over both.

    An override of `{}` is sent as it is here, with nothing but the marker.

    >>> payload = UnifiedHealthCheckPayload(extras={"lora_name": "base"}, environ={}).to_dict()
    >>> payload["stop_conditions"], payload["lora_name"]
    ({'max_tokens': 1, 'ignore_eos': True}, 'base')
    """

    empty_override_wins: ClassVar[bool] = True

    def __init__(
        self,
        tokenizer: object = None,
        *,
        extras: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        bos = (
            FALLBACK_BOS if tokenizer is None else bos_or_fallback(bos_of(tokenizer), of=tokenizer)
        )
        self.default_payload = {
            "token_ids": [bos],
            "stop_conditions": {"max_tokens": 1, "ignore_eos": True},
            "sampling_options": {"temperature": 0.0},
            **(extras or {}),
        }
        super().__init__(environ=environ)
