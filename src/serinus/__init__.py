"""Serinus says whether an LLM inference worker can really serve, by proof and not by politeness.

The library's names are here and are imported on first use, so that `import serinus` costs nothing
in a process that only wants one of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serinus.core.status import HealthStatus, Reason
    from serinus.core.system_health import SystemHealth
    from serinus.core.transcript import Transcript
    from serinus.errors import SerinusError
    from serinus.payloads import (
        HealthCheckPayload,
        SglangHealthCheckPayload,
        SglangPrefillHealthCheckPayload,
        TrtllmHealthCheckPayload,
        VllmHealthCheckPayload,
    )
    from serinus.runtime.context import Context
    from serinus.runtime.endpoint import Endpoint
    from serinus.runtime.manager import HealthCheckConfig, HealthCheckManager
    from serinus.runtime.runtime import Runtime
    from serinus.runtime.target import HealthCheckTarget
    from serinus.settings import Settings
    from serinus.status import SystemStatusServer

__all__ = [
    "Context",
    "Endpoint",
    "HealthCheckConfig",
    "HealthCheckManager",
    "HealthCheckPayload",
    "HealthCheckTarget",
    "HealthStatus",
    "Reason",
    "Runtime",
    "SerinusError",
    "Settings",
    "SglangHealthCheckPayload",
    "SglangPrefillHealthCheckPayload",
    "SystemHealth",
    "SystemStatusServer",
    "Transcript",
    "TrtllmHealthCheckPayload",
    "VllmHealthCheckPayload",
    "__version__",
]

__version__ = "0.1.0"

_HOMES = {
    "Context": "serinus.runtime.context",
    "Endpoint": "serinus.runtime.endpoint",
    "HealthCheckConfig": "serinus.runtime.manager",
    "HealthCheckManager": "serinus.runtime.manager",
    "HealthCheckPayload": "serinus.payloads",
    "HealthCheckTarget": "serinus.runtime.target",
    "HealthStatus": "serinus.core.status",
    "Reason": "serinus.core.status",
    "Runtime": "serinus.runtime.runtime",
    "SerinusError": "serinus.errors",
    "Settings": "serinus.settings",
    "SglangHealthCheckPayload": "serinus.payloads",
    "SglangPrefillHealthCheckPayload": "serinus.payloads",
    "SystemHealth": "serinus.core.system_health",
    "SystemStatusServer": "serinus.status",
    "Transcript": "serinus.core.transcript",
    "TrtllmHealthCheckPayload": "serinus.payloads",
    "VllmHealthCheckPayload": "serinus.payloads",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'serinus' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
