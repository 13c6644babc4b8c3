"""Canaries left out of a server's own log: a middleware that tells them, a filter that drops them.

An access log's record has no headers (uvicorn's has the peer, the path and the status), so that a
filter alone cannot tell a canary. The server writes it while it answers, in the request's context,
where the middleware has said what it is. What a server writes elsewhere is not left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextvars import ContextVar

from serinus.asgi.types import App, Receive, Scope, Send
from serinus.engines.completions import CANARY_HEADER

__all__ = ["QuietCanaries", "WithoutCanaries"]

_NAME = CANARY_HEADER.encode()
_serving: ContextVar[bool] = ContextVar("serinus_canary", default=False)
"""Whether what runs now serves a canary."""


class WithoutCanaries(logging.Filter):
    """Drops records that are written while a canary is served; for any handler or logger."""

    def filter(self, _record: logging.LogRecord) -> bool:
        """Say whether a record is to be kept."""
        return not _serving.get()


class QuietCanaries:
    """Wraps an ASGI app: requests with the header of canaries go through unchanged, and unlogged.

    `loggers` are those that leave them out, uvicorn's access log if none are named. Whoever sends
    that header is left out of them: what a proxy logs is not touched.
    """

    def __init__(self, app: App, *, loggers: Iterable[str] = ("uvicorn.access",)) -> None:
        self._app = app
        for name in loggers:
            logger = logging.getLogger(name)
            if not any(isinstance(one, WithoutCanaries) for one in logger.filters):
                logger.addFilter(WithoutCanaries())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection of the server's."""
        if scope["type"] != "http" or not any(name == _NAME for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        token = _serving.set(True)
        try:
            await self._app(scope, receive, send)
        finally:
            _serving.reset(token)
