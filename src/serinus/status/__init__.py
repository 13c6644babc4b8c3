"""The status port: a process of its own answers for the worker, even while that cannot.

`SystemStatusServer` is the worker's end; `process` is what runs at the other. Nothing here judges
endpoints: readiness and liveness come ready-made, and only the worker's own silence is judged.
"""

from __future__ import annotations

from serinus.status.config import StatusConfig
from serinus.status.exposition import Exposition, HistogramLabels, labels
from serinus.status.rendering import endpoints_json
from serinus.status.server import SystemStatusServer

__all__ = [
    "Exposition",
    "HistogramLabels",
    "StatusConfig",
    "SystemStatusServer",
    "endpoints_json",
    "labels",
]
