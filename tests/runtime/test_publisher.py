"""What the publisher says, and how seldom."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import NamedTuple

import pytest

from serinus.core.address import EndpointAddress
from serinus.core.evidence import CanaryFailed, CanaryFault, CanaryPassed, Load, Tick
from serinus.core.status import HealthStatus
from serinus.runtime.board import Board, Watched
from serinus.runtime.publisher import Publisher
from serinus.runtime.target import Answer, Asked
from serinus.settings import Settings


class Said(NamedTuple):
    """One publication."""

    ready: bool
    live: bool
    armed: bool
    endpoints: dict[str, str]
    degraded: bool = False


class Listener:
    """Stands for the status server: keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.leases: list[float] = []
        self.renewed_before: list[int] = []

    def renew_details(self) -> None:
        """Keep before which publication."""
        self.renewed_before.append(len(self.said))

    def publish(
        self,
        *,
        ready: bool,
        live: bool,
        reason: str,
        endpoints: bytes,
        armed: bool,
        degraded: bool,
    ) -> None:
        """Keep it."""
        assert reason
        self.said.append(Said(ready, live, armed, json.loads(endpoints), degraded))

    def lease_until(self, seconds_monotonic: float) -> None:
        """Keep it."""
        self.leases.append(seconds_monotonic)


class World(NamedTuple):
    """A board, its publisher, and who listens."""

    board: Board
    publisher: Publisher
    listener: Listener

    def endpoint(self, address: str) -> Watched:
        """Watch an endpoint whose canaries nobody answers."""

        async def never() -> Answer:
            await asyncio.Event().wait()
            return ()

        return self.board.watch(EndpointAddress.parse(address), Asked(never), payload=True)

    def prove(self, watched: Watched) -> None:
        """Bring the proof of an endpoint."""
        self.board.tell(watched.target, CanaryPassed(self.board.clock(), 0.01, 0.02))

    def fail(self, watched: Watched, times: int) -> None:
        """Bring canaries that timed out."""
        for _ in range(times):
            now = self.board.clock()
            self.board.tell(watched.target, CanaryFailed(now, now - 1, CanaryFault.TIMEOUT))


@pytest.fixture
async def world() -> World:
    """A world in virtual time, hang budget 5 s; its manager does not run."""
    settings = Settings(health_check_enabled=True, hang_budget=5)
    loop, listener = asyncio.get_running_loop(), Listener()
    board = Board(settings, clock=loop.time, seed=1)
    publisher = Publisher(board, listener)  # type: ignore[arg-type] # a fake of the same shape
    board.changed = publisher.changed
    return World(board, publisher, listener)


async def test_changes_of_one_turn_are_one_publication(world: World) -> None:
    """A thousand endpoints that come at once are told once."""
    for number in range(1000):
        world.prove(world.endpoint(f"n.c.e{number}"))
    await asyncio.sleep(1)
    assert len(world.listener.said) == 1
    assert set(world.listener.said[0].endpoints.values()) == {"ready"}


async def test_endpoints_are_sorted_and_named_in_full_where_two_share_a_name(world: World) -> None:
    """Two endpoints of one name never share a status."""
    bad, good = world.endpoint("n.prefill.generate"), world.endpoint("n.decode.generate")
    world.endpoint("n.decode.abort")
    world.prove(good)
    await asyncio.sleep(1)
    assert list(world.listener.said[-1].endpoints.items()) == [
        ("abort", "notready"),
        ("n.decode.generate", "ready"),
        ("n.prefill.generate", "notready"),
    ]
    assert bad.health().status is HealthStatus.NOTREADY


async def test_liveness_falls_by_time_alone_and_is_told(world: World) -> None:
    """A proven hang uses up its budget without any further evidence."""
    watched = world.endpoint("n.c.e")
    world.prove(watched)
    world.fail(watched, 2)
    await asyncio.sleep(4.9)
    assert (world.listener.said[-1].ready, world.listener.said[-1].live) == (False, True)
    await asyncio.sleep(0.2)
    assert (world.listener.said[-1].ready, world.listener.said[-1].live) == (False, False)
    subjects = [moment.subject for moment in world.board.history.transitions]
    assert subjects[-1] == "liveness"


async def test_a_recovery_calls_the_fall_off(world: World) -> None:
    """Nobody is restarted for a hang that is over."""
    watched = world.endpoint("n.c.e")
    world.prove(watched)
    world.fail(watched, 2)
    await asyncio.sleep(4)
    world.prove(watched)
    await asyncio.sleep(10)
    assert all(said.live for said in world.listener.said)
    assert world.listener.said[-1].ready


async def test_armed_once_ready_and_for_good(world: World) -> None:
    """A blocked loop counts against liveness only after the worker has been ready once."""
    watched = world.endpoint("n.c.e")
    await asyncio.sleep(1)
    assert not world.listener.said[-1].armed
    world.prove(watched)
    await asyncio.sleep(1)
    world.fail(watched, 2)
    await asyncio.sleep(1)
    assert (world.listener.said[-1].ready, world.listener.said[-1].armed) == (False, True)


async def test_a_lease_reaches_the_status_process(world: World) -> None:
    """A loop that blocks inside a planned pause is excused there."""
    lease = world.board.lease("compile", seconds=60)
    await asyncio.sleep(1)
    assert world.listener.leases[-1] == lease.until
    lease.release()
    await asyncio.sleep(1)
    assert world.listener.leases[-1] == 0.0


async def test_a_closed_publisher_says_nothing_more(world: World) -> None:
    """What is changed by closing things is not told."""
    world.endpoint("n.c.e")
    world.publisher.close()
    world.endpoint("n.c.f")
    await asyncio.sleep(10)
    assert world.listener.said == []


async def test_the_details_are_the_report(world: World) -> None:
    """JSON, with wall times as ISO 8601 in UTC."""
    world.prove(world.endpoint("n.c.e"))
    details = json.loads(world.publisher.details())
    assert details["endpoints"]["n.c.e"]["reason"] == "canary"
    assert details["endpoints"]["n.c.e"]["since"].endswith("+00:00")


async def test_a_status_code_never_stands_beside_older_details(world: World) -> None:
    """Each turn has the details rendered just before it is told, and nothing else has."""
    watched = world.endpoint("n.c.e")
    await asyncio.sleep(1)
    world.prove(watched)
    await asyncio.sleep(1)
    world.endpoint("n.c.other")
    await asyncio.sleep(1)
    world.board.hold("loading")
    await asyncio.sleep(1)
    turns = [
        number
        for number, (before, after) in enumerate(pairwise(world.listener.said), start=1)
        if (before.ready, before.live) != (after.ready, after.live)
    ]
    assert turns
    assert world.listener.renewed_before == turns


async def test_a_stall_is_told_with_what_stands_still(world: World) -> None:
    """The history says how much is in flight and for how long nothing moved."""
    watched = world.endpoint("n.c.e")
    world.prove(watched)
    world.board.tell(watched.target, Load(world.board.clock(), 3))
    await asyncio.sleep(60)
    world.board.tell(watched.target, Tick(world.board.clock()))
    told = [one.detail for one in world.board.history.transitions if one.reason == "stalled"]
    assert told == ["3 in flight, nothing moved for 60 s"]
