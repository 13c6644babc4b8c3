"""A frontend's parts over a store in memory, and workers that announce themselves there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from serinus.core.address import EndpointAddress
from serinus.core.instance import Instance
from serinus.core.status import HealthStatus
from serinus.discovery import Discovery
from serinus.discovery.memory import Memory
from serinus.discovery.records import WITHDRAWN, encode, key_of
from serinus.frontend.answer import Answer
from serinus.frontend.bodies import Bodies
from serinus.frontend.view import View
from serinus.settings import Settings

HERE = EndpointAddress.parse("demo.backend.generate")
READY, NOTREADY = HealthStatus.READY, HealthStatus.NOTREADY


def instance(
    number: int, status: HealthStatus | None = READY, *, at: str = str(HERE), **told: Any
) -> Instance:
    """An instance that is called over HTTP."""
    reason, place = told.pop("reason", ""), told.pop("place", f"http://10.0.0.{number}:8000")
    address = EndpointAddress.parse(at)
    return Instance(address, number, {"http": place}, status, reason=reason, facts=told)


def announce(discovery: Discovery, *instances: Instance) -> None:
    """Announce instances as workers do that stay listed."""
    for one in instances:
        discovery.announce(key_of(one), encode(one))


def withdraw(discovery: Discovery, one: Instance) -> None:
    """Let an instance leave the list, as workers do that are not ready."""
    discovery.announce(WITHDRAWN + one.name, encode(one))
    discovery.withdraw(key_of(one))


class Seen:
    """A view with its bodies, kept up at every change."""

    def __init__(self, store: Memory, **settings: Any) -> None:
        loop = asyncio.get_running_loop()
        settings = {"outside_interval": 2.0, "discovery_lease": 3.0} | settings
        self.settings = Settings(discovery_backend="memory", **settings)
        self.store = store
        self.discovery = Discovery(
            store, lease=self.settings.discovery_lease, owner="frontend", clock=loop.time, seed=1
        )
        self.view = View(self.discovery, self.settings, clock=loop.time)
        self.bodies = Bodies(self.view, wall=lambda: 1_700_000_000.0)
        self.view.tell(lambda _: self.refresh())

    def refresh(self) -> None:
        """Take in what changed."""
        self.bodies.refresh()

    def health(self, *, instances: bool = True) -> dict[str, Any]:
        """The body of `/health`."""
        return body(self.bodies.health(instances=instances))


@asynccontextmanager
async def seen(store: Memory, **settings: Any) -> AsyncIterator[Seen]:
    """A view that follows a store."""
    it = Seen(store, **settings)
    async with it.discovery:
        it.view.open()
        it.refresh()
        yield it
        it.view.close()


@asynccontextmanager
async def worker(store: Memory, *instances: Instance) -> AsyncIterator[Discovery]:
    """A worker whose instances are announced."""
    loop = asyncio.get_running_loop()
    async with Discovery(store, lease=3.0, owner="worker", clock=loop.time, seed=2) as discovery:
        announce(discovery, *instances)
        await discovery.settled()
        await asyncio.sleep(0.5)  # the clock is virtual
        yield discovery


def body(answer: Answer) -> dict[str, Any]:
    """The body of an answer."""
    told: dict[str, Any] = json.loads(b"".join(answer.chunks))
    return told
