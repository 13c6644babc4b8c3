"""Payloads: the minimal request that proves an endpoint, one module an engine.

A payload is data. It sends nothing and judges nothing.
"""

from __future__ import annotations

from serinus.core.marker import HEALTH_CHECK_KEY, is_health_check
from serinus.payloads.base import HealthCheckPayload
from serinus.payloads.override import load_override, read_override
from serinus.payloads.sglang import (
    SglangDisaggHealthCheckPayload,
    SglangHealthCheckPayload,
    SglangImageDiffusionHealthCheckPayload,
    SglangPrefillHealthCheckPayload,
)
from serinus.payloads.triton import TritonHealthCheckPayload, TritonTensor
from serinus.payloads.trtllm import TrtllmHealthCheckPayload
from serinus.payloads.unified import UnifiedHealthCheckPayload
from serinus.payloads.vllm import (
    VllmHealthCheckPayload,
    VllmOmniHealthCheckPayload,
    VllmPrefillHealthCheckPayload,
)

__all__ = [
    "HEALTH_CHECK_KEY",
    "HealthCheckPayload",
    "SglangDisaggHealthCheckPayload",
    "SglangHealthCheckPayload",
    "SglangImageDiffusionHealthCheckPayload",
    "SglangPrefillHealthCheckPayload",
    "TritonHealthCheckPayload",
    "TritonTensor",
    "TrtllmHealthCheckPayload",
    "UnifiedHealthCheckPayload",
    "VllmHealthCheckPayload",
    "VllmOmniHealthCheckPayload",
    "VllmPrefillHealthCheckPayload",
    "is_health_check",
    "load_override",
    "read_override",
]
