"""The stream of changes: the state now, then what changed since, for as long as the reader reads.

A reader that is slow gets fewer changes and never an old one: what it has not been sent yet is
remembered as the names of what changed, at most one each, and rendered when it is its turn. Nothing
queues. A reader that takes nothing for a while is left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from serinus.core.address import EndpointAddress
from serinus.core.stage import FrontendHealth
from serinus.frontend.answer import dumps
from serinus.frontend.bodies import Bodies
from serinus.frontend.view import View

__all__ = ["BEAT", "Events", "Reader"]

BEAT = 15.0
"""Seconds of quiet after which a heartbeat is sent."""
_MOST = 4096
"""Names in one event; with more it is cheaper to send the state anew, and bounded."""


class Reader:
    """What one reader has not been sent yet."""

    def __init__(self, *, instances: bool) -> None:
        self.with_instances = instances
        self.pools: set[EndpointAddress] = set()
        self.models: set[str] = set()
        self.instances: set[str] = set()
        self.anew = True
        """Whether the whole state has to be sent."""
        self.news = asyncio.Event()
        self.news.set()

    def owe(
        self, pools: Iterable[EndpointAddress], models: Iterable[str], instances: Iterable[str]
    ) -> None:
        """Remember what changed."""
        if not self.anew:
            self.pools.update(pools)
            self.models.update(models)
            if self.with_instances:
                self.instances.update(instances)
            self.anew = len(self.pools) + len(self.models) + len(self.instances) > _MOST
        self.news.set()

    def take(self) -> tuple[set[EndpointAddress], set[str], set[str]]:
        """Return what it is owed, and owe nothing."""
        owed = self.pools, self.models, self.instances
        self.pools, self.models, self.instances = set(), set(), set()
        self.anew = False
        self.news.clear()
        return owed


class Events:
    """All readers of one view."""

    def __init__(
        self,
        view: View,
        bodies: Bodies,
        *,
        most: int,
        beat: float = BEAT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.readers: set[Reader] = set()
        self.most = most
        self.sent = 0
        self._view = view
        self._bodies = bodies
        self._beat = beat
        self._clock = clock
        self._ended = False
        self._health: FrontendHealth | None = None

    @property
    def full(self) -> bool:
        """Whether there is room for no more readers."""
        return len(self.readers) >= self.most

    def publish(
        self, pools: set[EndpointAddress], models: set[str], instances: frozenset[str]
    ) -> None:
        """Let all readers have what changed: of each what it asked for, and the stage."""
        health = self._bodies.health_now
        turned = health != self._health
        self._health = health
        for reader in self.readers:
            if turned or pools or models or (reader.with_instances and instances):
                reader.owe(pools, models, instances)

    def end(self) -> None:
        """Let every stream end."""
        self._ended = True
        for reader in self.readers:
            reader.news.set()

    async def stream(self, *, instances: bool) -> AsyncIterator[list[bytes]]:
        """Yield events for one reader, each in a few pieces, until `end`."""
        reader = Reader(instances=instances)
        self.readers.add(reader)
        try:
            yield [b"retry: 1000\n\n"]
            while not self._ended:
                try:
                    async with asyncio.timeout(self._beat):
                        await reader.news.wait()
                except TimeoutError:
                    yield [b": beat\n\n"]
                    continue
                yield self._next(reader)
            yield [b"event: end\ndata: {}\n\n"]
        finally:
            self.readers.discard(reader)

    def _next(self, reader: Reader) -> list[bytes]:
        if self._ended:
            reader.news.clear()
            return []
        self.sent += 1
        return self._state(reader) if reader.anew else self._change(reader)

    def _state(self, reader: Reader) -> list[bytes]:
        reader.take()
        bodies = self._bodies
        told = self._told()
        told["endpoints"] = [pool for _, pool in sorted(bodies.pools.items())]
        told["models"] = [model for _, model in sorted(bodies.models.items())]
        if not reader.with_instances:
            return self._event(b"state", dumps(told))
        listed = bodies.listed
        return self._event(b"state", dumps(told)[:-1] + b',"instances":[', *listed, b"]}")

    def _change(self, reader: Reader) -> list[bytes]:
        pools, models, instances = reader.take()
        bodies = self._bodies
        told = self._told()
        if pools:
            told["endpoints"] = [
                bodies.pools.get(address) or {"endpoint": address.url, "gone": True}
                for address in sorted(pools)
            ]
        if models:
            told["models"] = [
                bodies.models.get(model) or {"model": model, "gone": True}
                for model in sorted(models)
            ]
        if not reader.with_instances:
            return self._event(b"change", dumps(told))
        listing = self._view.listing
        found = [(name, listing.get(name)) for name in sorted(instances)]
        gone = [name for name, fragment in found if fragment is None]
        if gone:
            told["gone"] = gone
        there = b",".join(fragment for _, fragment in found if fragment is not None)
        return self._event(b"change", dumps(told)[:-1] + b',"instances":[' + there + b"]}")

    def _told(self) -> dict[str, Any]:
        health = self._bodies.health_now
        return {
            "version": self._bodies.version,
            "stage": str(health.stage),
            "status": "healthy" if health.ready else "not_ready",
            "stale_seconds": self._view.knowledge.age,
        }

    def _event(self, kind: bytes, *data: bytes) -> list[bytes]:
        # JSON that is written compactly has no line break, so it is one line of data.
        return [b"event: %s\nid: %d\ndata: " % (kind, self._bodies.version), *data, b"\n\n"]
