"""What befalls a fleet: one suite for all backends, with real processes, through `Discovery`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from serinus.core.address import EndpointAddress
from serinus.core.instance import Instance
from serinus.discovery import Change, Discovery, Mirror
from serinus.discovery.choice import backend_of
from serinus.discovery.records import INSTANCES, encode, key_of
from serinus.settings import Settings
from tests.discovery.contract import until

__all__ = [
    "LEASE",
    "Fleet",
    "FleetScenarios",
    "Place",
    "Worker",
    "fleet_of",
    "record",
    "started",
    "took",
]

LEASE = 3.0
LATE = 1.5
"""Seconds after the end of a lease within which everybody knows."""
ADDRESS = EndpointAddress("demo", "backend", "generate")
LEADER = "v1/leaders/prober/one"


def record(number: int, owner: str, *, tcp: bool = False) -> tuple[str, str]:
    """Return the key and the record of an instance, which the reference reads if it is `tcp`."""
    tail = f"{number:x}/{'/'.join(ADDRESS)}"
    transport = {"tcp": f"127.0.0.1:1/{tail}"} if tcp else {"http": "http://127.0.0.1:1"}
    instance = Instance(ADDRESS, number, transport, owner=owner)
    return key_of(instance), encode(instance).decode()


class Place(ABC):
    """A backend that can be taken away and come back."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The settings by which it is found."""

    @abstractmethod
    def lose(self) -> None:
        """Take it away, as a machine dies."""

    @abstractmethod
    def bring_back(self) -> None:
        """Have it back."""


class Worker:
    """A process that announces."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.state: dict[str, Any] = {}

    async def read(self) -> None:
        """Follow what it says."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.state = json.loads(line)

    def says(self, name: str) -> Any:
        """Return what it last said of one thing."""
        return self.state.get(name)

    def kill(self) -> None:
        """Kill it."""
        self.process.send_signal(signal.SIGKILL)


class Fleet:
    """Processes around one place, and what a watcher in this process sees of them."""

    def __init__(self, place: Place, discovery: Discovery, opened: AsyncExitStack) -> None:
        self.place = place
        self.discovery = discovery
        self.mirror: Mirror = discovery.mirror(INSTANCES)
        self.seen: list[Change] = []
        """Every change that followers were told of."""
        self.mirror.follow(self.seen.extend)
        self._opened = opened

    @property
    def gone(self) -> set[str]:
        """The keys that were ever seen to go."""
        return {change.key for change in self.seen if change.value is None}

    async def worker(self, *numbers: int, owner: str, **how: Any) -> Worker:
        """Start a process that announces these instances: see `started`."""
        return await started(self._opened, self.place, *numbers, owner=owner, **how)

    def has(self, *numbers: int, owner: str) -> bool:
        """Whether the watcher has these instances, as that owner announced them."""
        wanted = dict(record(number, owner) for number in numbers)
        return all(self.mirror.entries.get(k) == v.encode() for k, v in wanted.items())


async def started(
    opened: AsyncExitStack,
    place: Place,
    *numbers: int,
    owner: str,
    lead: bool = False,
    tcp: bool = False,
    prefix: Sequence[str] = (),
) -> Worker:
    """Start a process that announces instances, and wants to lead if it is told to."""
    said = {
        "settings": place.settings,
        "lease": LEASE,
        "owner": owner,
        "announce": dict(record(number, owner, tcp=tcp) for number in numbers),
        "lead": LEADER if lead else None,
    }
    command = [*prefix, sys.executable, "-m", "tests.discovery.announcer", json.dumps(said)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    worker = Worker(process)
    reader = asyncio.create_task(worker.read(), name=f"output of {owner}")
    opened.push_async_callback(_end, process, reader)
    return worker


@asynccontextmanager
async def fleet_of(place: Place) -> AsyncIterator[Fleet]:
    """Watch a place; processes end with this."""
    backend = backend_of(Settings(**place.settings))
    assert backend is not None
    async with (
        AsyncExitStack() as opened,
        Discovery(backend, lease=LEASE, owner="watcher") as discovery,
    ):
        yield Fleet(place, discovery, opened)


async def took(holds: Callable[[], object], *, seconds: float = 30.0) -> float:
    """Wait until a condition holds, and return how long that was.

    Without the time for which this process was held up by others: what it did not see meanwhile is
    not the fleet's fault.
    """
    loop = asyncio.get_running_loop()
    began = before = loop.time()
    stalls = 0.0
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)
            stalls += max(loop.time() - before - 0.05, 0.0)
            before = loop.time()
    return loop.time() - began - stalls


class FleetScenarios:
    """The suite. A backend's test class inherits it and has a fixture `place`."""

    async def test_a_killed_worker_is_gone_within_its_lease(self, place: Place) -> None:
        """Killed without a word: gone 4.5 seconds later at the latest; the others stay."""
        async with fleet_of(place) as fleet:
            killed = await fleet.worker(1, 2, owner="killed")
            await fleet.worker(3, owner="other")
            await until(lambda: fleet.has(1, 2, owner="killed") and fleet.has(3, owner="other"))
            killed.kill()
            assert await took(lambda: len(fleet.gone) == 2) <= LEASE + LATE
            assert fleet.has(3, owner="other")
            await until(lambda: fleet.mirror.age is None)

    async def test_of_two_workers_with_one_id_the_first_is_listed(self, place: Place) -> None:
        """The second says so, goes on, and is listed when the first is gone."""
        async with fleet_of(place) as fleet:
            first = await fleet.worker(1, owner="first")
            await until(lambda: fleet.has(1, owner="first"))
            second = await fleet.worker(1, 2, owner="second")
            key, _ = record(1, "first")
            await until(lambda: second.says("conflicts") == {key: "first"})
            await until(lambda: fleet.has(2, owner="second"))
            assert fleet.has(1, owner="first")
            first.kill()
            await until(lambda: fleet.has(1, owner="second"), seconds=2 * LEASE + LATE)
            await until(lambda: second.says("conflicts") == {})

    async def test_a_killed_leader_is_followed_within_its_lease(self, place: Place) -> None:
        """By one other; and never do two lead."""
        async with fleet_of(place) as fleet:
            first = await fleet.worker(owner="first", lead=True)
            await until(lambda: first.says("leads"))
            others = [await fleet.worker(owner=f"other {n}", lead=True) for n in range(2)]
            await until(lambda: all(other.says("settled") for other in others))
            first.kill()
            followed = await took(lambda: any(other.says("leads") for other in others))
            assert followed <= LEASE + 2
            await asyncio.sleep(1)
            assert sum(other.says("leads") for other in others) == 1

    async def test_nobody_is_lost_or_doubled_when_the_backend_dies_and_comes_back(
        self, place: Place
    ) -> None:
        """Away for ten seconds: stale meanwhile, whole afterwards, nothing started by hand."""
        async with fleet_of(place) as fleet:
            workers = [await fleet.worker(n, n + 10, owner=f"w{n}") for n in range(3)]
            await until(lambda: all(fleet.has(n, n + 10, owner=f"w{n}") for n in range(3)))
            before = dict(fleet.mirror.entries)
            await asyncio.to_thread(place.lose)
            assert await took(lambda: fleet.mirror.age is not None) <= LEASE
            await asyncio.sleep(10)
            assert fleet.mirror.entries == before
            assert fleet.mirror.age is not None
            assert fleet.mirror.age > 9
            await asyncio.to_thread(place.bring_back)
            await until(lambda: fleet.mirror.age is None)
            await until(lambda: all(w.says("settled") and not w.says("trouble") for w in workers))
            await asyncio.sleep(LEASE + LATE)  # whoever is not announced anew is gone by then
            assert fleet.mirror.entries == before
            assert fleet.gone == set()
            assert all(worker.process.returncode is None for worker in workers)


async def _end(process: asyncio.subprocess.Process, reader: asyncio.Task[None]) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    await process.wait()
    await reader
