"""The one door by which the HTTP library enters."""

from __future__ import annotations

from serinus.errors import MissingExtraError

try:
    from aiohttp import web
    from aiohttp.typedefs import Handler, Middleware
except ImportError as failure:
    raise MissingExtraError(what="serinus sim", extra="sim") from failure

__all__ = ["Handler", "Middleware", "web"]
