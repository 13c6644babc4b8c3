"""The three pages that an app can answer itself, if it is asked to mount them.

They are the app's own word: they are silent while its loop is. The status port is not.
"""

from __future__ import annotations

import json
from typing import Any

from serinus.asgi.types import Scope, Send
from serinus.core.system_health import display_names
from serinus.runtime.runtime import Runtime

__all__ = ["Pages"]

_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class Pages:
    """`health`, `live` and `metrics` below a path."""

    def __init__(self, mount: str, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pages = {
            f"{mount}/health": self._health,
            f"{mount}/live": self._live,
            f"{mount}/metrics": self._metrics,
        }

    def has(self, path: str) -> bool:
        """Say whether a path is one of them."""
        return path in self._pages

    async def answer(self, scope: Scope, send: Send) -> None:
        """Answer a request for one of them."""
        status, kind, body = self._pages[scope["path"]]()
        if scope["method"] not in ("GET", "HEAD"):
            status, kind, body = 405, b"text/plain", b"GET or HEAD\n"
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send(
            {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body}
        )

    def _health(self) -> tuple[int, bytes, bytes]:
        ready = self._runtime.report().readiness.ready
        return self._told(ready, "ready" if ready else "notready")

    def _live(self) -> tuple[int, bytes, bytes]:
        live = self._runtime.report().liveness.live
        return self._told(live, "live" if live else "notlive")

    def _told(self, good: bool, word: str) -> tuple[int, bytes, bytes]:  # noqa: FBT001 - of two
        board = self._runtime.board
        endpoints = board.groups.fold(board.health()).judged
        names = display_names(endpoint.address for endpoint in endpoints)
        up = board.clock() - board.started
        body: dict[str, Any] = {
            "status": word,
            "uptime": {"secs": int(up), "nanos": int(up % 1 * 1e9)},
            "endpoints": {names[one.address]: str(one.status) for one in endpoints},
        }
        return 200 if good else 503, b"application/json", json.dumps(body).encode()

    def _metrics(self) -> tuple[int, bytes, bytes]:
        return 200, _TEXT, self._runtime.metrics()
