"""The page for people at `/dashboard`: one file, which reads `/health?verbose` every second.

It holds nothing of the worker itself, so anybody may load it; what it can show depends on what its
reader may see.
"""

from __future__ import annotations

import json
import os

from serinus.errors import StatusError

__all__ = ["PATH", "dashboard", "whole"]

PATH = "/dashboard"

_HEALTH_PATH = b"/health"
"""Where the page as written asks."""
_STYLE = b"/* dashboard.css */"
"""Where the style stands that all pages share."""


def dashboard(health_path: str) -> bytes:
    """Return the page for a status port whose readiness is at `health_path`; raises StatusError."""
    return whole(_read("dashboard.html"), health_path)


def whole(page: bytes, health_path: str) -> bytes:
    """Return a page with its style, for a health that is at `health_path`; raises StatusError."""
    page = page.replace(_STYLE, _read("dashboard.css").strip())
    return page.replace(b'"%s"' % _HEALTH_PATH, json.dumps(health_path).encode())


def _read(name: str) -> bytes:
    get_data = getattr(__spec__.loader, "get_data", None)  # also out of a zip file
    if get_data is None:
        raise StatusError("the dashboard's page cannot be read: this installation keeps no data")
    data: bytes = get_data(os.path.join(os.path.dirname(__file__), name))
    return data
