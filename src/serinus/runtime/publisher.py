"""Carries what the board says to the status process: soon after a change, never per probe.

Changes of one turn of the loop become one publication, and the time between two is a multiple of
what the last one cost, so that 10,000 endpoints that change at once do not take the loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from serinus.core.history import Transition
from serinus.core.report import as_bytes
from serinus.core.system_health import Judged, Liveness, Readiness, display_names
from serinus.runtime.board import Board
from serinus.status import SystemStatusServer, endpoints_json

__all__ = ["Publisher"]

logger = logging.getLogger("serinus")

_REST = 10.0
"""After a publication that took t seconds, the next one waits this many times t."""


class Publisher:
    """Publishes the board on a status server, if there is one, and keeps what was last said."""

    def __init__(self, board: Board, server: SystemStatusServer | None) -> None:
        self._board = board
        self._server = server
        self.told: Callable[[Iterable[Judged], Readiness], None] = lambda *_: None
        """Told of what is published, in the same turn: of all endpoints, and of groups of them."""
        self._planned: asyncio.TimerHandle | None = None
        self._fall: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        self._armed = False
        self._last: tuple[Readiness, Liveness] | None = None
        self._open = True
        self._offset = time.time() - board.clock()

    def changed(self) -> None:
        """Publish soon."""
        if not self._open or self._planned is not None:
            return
        loop = asyncio.get_running_loop()
        delay = max(self._not_before - loop.time(), 0.0)
        self._planned = loop.call_later(delay, self.publish)

    def publish(self) -> None:
        """Publish now."""
        if self._planned is not None:
            self._planned.cancel()
            self._planned = None
        began = time.perf_counter()
        endpoints = self._board.health()
        readiness = self._board.readiness(endpoints)
        liveness = self._board.liveness(endpoints, readiness)
        judged = self._board.groups.fold(endpoints).judged
        self._armed = self._armed or readiness.ready
        turned = self._remember(readiness, liveness)
        self.told({one.address: one for one in (*endpoints, *judged)}.values(), readiness)
        if self._server is not None:
            if turned:
                self._server.renew_details()
            names = display_names(endpoint.address for endpoint in judged)
            states = {names[endpoint.address]: str(endpoint.status) for endpoint in judged}
            self._server.publish(
                ready=readiness.ready,
                live=liveness.live,
                reason=str(readiness.rule if readiness.ready else _reason(readiness)),
                endpoints=endpoints_json(dict(sorted(states.items()))),
                armed=self._armed,
                degraded=any(endpoint.degraded for endpoint in judged),
            )
            self._server.lease_until(max(self._board.leases.until, 0.0))
        if self._open:
            self._await_fall(judged)
            cost = time.perf_counter() - began
            self._not_before = asyncio.get_running_loop().time() + cost * _REST

    def details(self) -> bytes:
        """Render the report for `?verbose`."""
        return as_bytes(self._board.report(), wall=self.wall)

    def wall(self, at: float) -> str:
        """Return a time of the board's clock as ISO 8601 in UTC."""
        seconds = at + self._offset
        whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        return f"{whole}.{int(seconds % 1 * 1000):03d}+00:00"

    def close(self) -> None:
        """Publish nothing more."""
        self._open = False
        for timer in (self._planned, self._fall):
            if timer is not None:
                timer.cancel()
        self._planned = self._fall = None

    def _await_fall(self, endpoints: Sequence[Judged]) -> None:
        """Publish again when time alone will have made the process not live."""
        if self._fall is not None:
            self._fall.cancel()
            self._fall = None
        now = self._board.clock()
        falls_at = self._board.system.falls_at(endpoints, now=now)
        if falls_at is not None:
            loop = asyncio.get_running_loop()
            self._fall = loop.call_later(falls_at - now, self.changed)

    def _remember(self, readiness: Readiness, liveness: Liveness) -> bool:
        """Note what turned, and say whether anything did that a status code tells."""
        last, self._last = self._last, (readiness, liveness)
        if last is None:
            return False
        was, lived = last
        if was.ready != readiness.ready:
            self._note("readiness", was.status, readiness.status, readiness.rule, readiness.why)
        if lived.live != liveness.live:
            words = {True: "live", False: "notlive"}
            before, after = words[lived.live], words[liveness.live]
            self._note("liveness", before, after, liveness.reason, liveness.why)
        return (was.ready, lived.live) != (readiness.ready, liveness.live)

    def _note(self, subject: str, before: str, after: str, reason: str, why: str) -> None:
        moment = Transition(self._board.clock(), subject, before, after, reason, why)
        self._board.history.add(moment)
        logger.warning("%s: %s -> %s (%s): %s", subject, before, after, reason, why)


def _reason(readiness: Readiness) -> str:
    return f"{readiness.rule}: {readiness.why}"
