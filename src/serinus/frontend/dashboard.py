"""The page for people at `/dashboard`: one file, which reads the health and the stream of changes.

It holds nothing of the fleet itself; what it can show depends on what its reader may see.
"""

from __future__ import annotations

from importlib.resources import files

from serinus.frontend.answer import Answer, of_chunks
from serinus.status.dashboard import whole

__all__ = ["dashboard"]


def dashboard(health_path: str) -> Answer:
    """Return the page for a frontend whose health is at `health_path`."""
    page = files("serinus.frontend").joinpath("dashboard.html").read_bytes()
    return of_chunks(200, (whole(page, health_path),), kind=b"text/html; charset=utf-8")
