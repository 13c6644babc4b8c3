"""The page for people at `/dashboard`: one file, which reads `/health?verbose` every second.

It holds nothing of the worker itself, so anybody may load it; what it can show depends on what its
reader may see.
"""

from __future__ import annotations

import json
import os

from serinus.errors import StatusError

__all__ = ["PATH", "dashboard"]

PATH = "/dashboard"

_HEALTH_PATH = b"/health"
"""Where the page as written asks."""


def dashboard(health_path: str) -> bytes:
    """Return the page for a status port whose readiness is at `health_path`; raises StatusError."""
    loader = __spec__.loader
    get_data = getattr(loader, "get_data", None)  # also out of a zip file
    if get_data is None:
        raise StatusError("the dashboard's page cannot be read: this installation keeps no data")
    page: bytes = get_data(os.path.join(os.path.dirname(__file__), "dashboard.html"))
    return page.replace(b'"%s"' % _HEALTH_PATH, json.dumps(health_path).encode())
