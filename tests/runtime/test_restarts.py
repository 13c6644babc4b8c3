"""Replicas that take turns in being not live: every process's part of it, over one store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from serinus.core.address import EndpointAddress
from serinus.core.instance import Instance
from serinus.core.status import HealthStatus, LiveReason
from serinus.core.system_health import Liveness
from serinus.discovery import Discovery
from serinus.discovery.memory import Memory
from serinus.discovery.records import encode, withdrawn_key_of
from serinus.runtime.restarts import RestartGovernor

ADDRESS = EndpointAddress("demo", "backend", "generate")
LEASE = 5.0
LIMIT = 300.0
HUNG = Liveness(live=False, reason=LiveReason.HANG, why="it hangs")
DEAD = Liveness(live=False, reason=LiveReason.ENGINE_DIED, why="its engine died")
WELL = Liveness(live=True, reason=LiveReason.LIVE)


class Replica:
    """A process: what it would say of its liveness, and what it may."""

    def __init__(self, fleet: Fleet, number: int) -> None:
        clock = asyncio.get_running_loop().time
        self.number = number
        self.raw = WELL
        self.instance = Instance(ADDRESS, number, {"tcp": "nowhere"}, HealthStatus.NOTREADY)
        self._open = AsyncExitStack()
        self.discovery = Discovery(
            fleet.store, lease=LEASE, owner=str(number), clock=clock, seed=number
        )
        self.governor = RestartGovernor(
            self.discovery,
            number,
            str(number),
            budget=fleet.budget,
            limit=LIMIT,
            changed=lambda: None,
            clock=clock,
        )

    async def start(self) -> None:
        """Be announced, and take part."""
        await self.discovery.__aenter__()
        self.discovery.announce(withdrawn_key_of(self.instance), encode(self.instance))
        self.governor.component = ADDRESS
        self.governor.start()

    @property
    def said(self) -> Liveness:
        """What it says of its liveness."""
        return self.governor.govern(self.raw)

    async def kill(self) -> None:
        """Die as processes do: nothing is taken back, and the lease runs out."""
        task = self.discovery._task
        assert task is not None
        self.governor._discovery = Discovery(Memory(), lease=LEASE)  # so that it gives nothing back
        await self.governor.stop()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def stop(self) -> None:
        """End in order."""
        await self.governor.stop()
        await self.discovery.__aexit__(None, None, None)


class Fleet:
    """Replicas around one store."""

    def __init__(self, budget: str) -> None:
        self.store = Memory()
        self.budget = budget
        self.replicas: dict[int, Replica] = {}
        self.most = 0

    async def add(self, count: int) -> None:
        """Add replicas."""
        first = len(self.replicas) + 1
        for number in range(first, first + count):
            replica = self.replicas[number] = Replica(self, number)
            await replica.start()
        await asyncio.sleep(2)

    @property
    def down(self) -> list[int]:
        """Those that say that they are not live."""
        return [number for number, one in self.replicas.items() if not one.said.live]

    async def live(self, seconds: float, each: Callable[[], object] = lambda: None) -> None:
        """Let time pass, and watch how many are not live at once."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.1)
            self.most = max(self.most, len(self.down))
            each()

    async def until(self, true: Callable[[], bool], *, within: float) -> float:
        """Let time pass until something is true; return how long it took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not true():
            assert loop.time() - began <= within, f"{self.down=}"
            await self.live(0.1)
        return loop.time() - began


@pytest.fixture
async def fleets() -> AsyncIterator[Callable[[str], Fleet]]:
    """Return what makes fleets that end with the test."""
    made: list[Fleet] = []

    def make(budget: str) -> Fleet:
        made.append(Fleet(budget))
        return made[-1]

    yield make
    for fleet in made:
        for replica in fleet.replicas.values():
            await replica.stop()


Make = Callable[[str], Fleet]


async def test_one_that_is_alone_is_not_live_at_once(fleets: Make) -> None:
    """There is nobody to be careful for."""
    fleet = fleets("25%")
    await fleet.add(1)
    fleet.replicas[1].raw = HUNG
    assert await fleet.until(lambda: fleet.down == [1], within=1) < 1
    assert fleet.replicas[1].said == HUNG


async def test_one_is_not_alone_while_the_other_s_record_moves(fleets: Make) -> None:
    """Between the list and the withdrawn it is in neither; a budget of one is kept all the same."""
    fleet = fleets("1")
    await fleet.add(2)
    other = fleet.replicas[2]
    other.raw = DEAD
    await fleet.until(lambda: fleet.down == [2], within=2)
    fleet.replicas[1].raw = HUNG
    await fleet.live(1)
    there = withdrawn_key_of(other.instance)
    for _ in range(3):
        other.discovery.withdraw(there)
        await fleet.live(LEASE - 1)
        other.discovery.announce(there, encode(other.instance))
        await fleet.live(1)
    assert (fleet.down, fleet.most) == ([2], 1)
    other.discovery.withdraw(there)
    await fleet.until(lambda: 1 in fleet.down, within=LEASE + 1)


async def test_one_of_many_is_admitted_soon(fleets: Make) -> None:
    """And the others are not touched."""
    fleet = fleets("25%")
    await fleet.add(8)
    fleet.replicas[3].raw = DEAD
    assert await fleet.until(lambda: fleet.down == [3], within=2) < 2


@pytest.mark.parametrize(("budget", "most"), [("25%", 5), ("1", 1), ("3", 3)])
async def test_no_more_than_the_budget_are_not_live_at_once(
    fleets: Make, budget: str, most: int
) -> None:
    """However many fail; the others say that they wait, and why."""
    fleet = fleets(budget)
    await fleet.add(20)
    for number in range(1, 13):
        fleet.replicas[number].raw = HUNG if number % 2 else DEAD
    await fleet.live(30)
    assert (len(fleet.down), fleet.most) == (most, most)
    waiting = next(n for n in range(1, 13) if n not in fleet.down)
    said = fleet.replicas[waiting].said
    assert (said.live, said.reason) == (True, LiveReason.WAITING)
    assert f"{most} of {most} instances are not live already" in said.why
    assert fleet.replicas[waiting].governor.report()["waiting_seconds"] >= 29


async def test_one_that_was_restarted_makes_room_within_its_lease(fleets: Make) -> None:
    """A rolling restart, one after the other, until all are well."""
    fleet = fleets("1")
    await fleet.add(5)
    for number in (1, 2, 3):
        fleet.replicas[number].raw = HUNG
    await fleet.until(lambda: len(fleet.down) == 1, within=3)
    for left in (2, 1, 0):
        (number,) = fleet.down
        await fleet.replicas.pop(number).kill()
        if left:
            assert await fleet.until(lambda: len(fleet.down) == 1, within=LEASE + 2) <= LEASE + 2
    await fleet.live(10)
    assert fleet.down == []
    assert fleet.most == 1


async def test_one_that_is_well_again_makes_room_at_once(fleets: Make) -> None:
    """It was not restarted after all."""
    fleet = fleets("1")
    await fleet.add(4)
    fleet.replicas[1].raw = HUNG
    await fleet.until(lambda: fleet.down == [1], within=3)
    fleet.replicas[2].raw = HUNG
    await fleet.live(5)
    assert fleet.down == [1]
    fleet.replicas[1].raw = WELL
    assert await fleet.until(lambda: fleet.down == [2], within=2) < 2
    assert fleet.replicas[1].governor.report()["admitted"] is False


async def test_while_all_fail_the_same_check_none_is_restarted(fleets: Make) -> None:
    """For as long as that may hold them; then turns are taken all the same."""
    fleet = fleets("25%")
    await fleet.add(8)
    for replica in fleet.replicas.values():
        replica.raw = HUNG
    await fleet.live(1)
    early = set(fleet.down)  # those that wished before they had heard of all the others
    await fleet.live(LIMIT - 5)
    assert set(fleet.down) == early
    assert len(early) <= 2
    waits = next(one for number, one in fleet.replicas.items() if number not in early)
    assert "all 8 instances fail the same check (hang): a shared cause" in waits.said.why
    assert fleet.most <= 2
    await fleet.until(lambda: set(fleet.down) > early, within=30)
    assert len(fleet.down) <= len(early) + 2  # whose turns are over by now


async def test_a_turn_that_nobody_uses_is_given_on(fleets: Make) -> None:
    """Nobody restarts it: the next one has its turn after the limit."""
    fleet = fleets("1")
    await fleet.add(4)
    fleet.replicas[1].raw = HUNG
    await fleet.until(lambda: fleet.down == [1], within=3)
    fleet.replicas[2].raw = HUNG
    took = await fleet.until(lambda: 2 in fleet.down, within=LIMIT + 10)
    assert took > LIMIT - 10
    assert 1 in fleet.down  # it needs a restart as ever


async def test_without_discovery_it_waits_and_not_for_ever(fleets: Make) -> None:
    """Nothing is kept alive because a server is away."""
    fleet = fleets("25%")
    await fleet.add(4)
    fleet.store.fail()
    await fleet.live(5)
    fleet.replicas[2].raw = HUNG
    assert (await fleet.until(lambda: fleet.down == [2], within=LIMIT + 5)) > LIMIT - 20


async def test_many_replicas_in_a_rolling_disaster(fleets: Make) -> None:
    """Thirty of forty fail and are restarted: the budget holds throughout, and all are mended."""
    fleet = fleets("10%")
    await fleet.add(40)
    for number in range(1, 31):
        fleet.replicas[number].raw = HUNG if number % 3 else DEAD
    mended = 0
    while mended < 30:
        await fleet.until(lambda: bool(fleet.down), within=2 * LEASE)
        await fleet.live(2)
        for number in fleet.down:
            await fleet.replicas.pop(number).kill()
            mended += 1
    await fleet.live(LEASE)
    assert fleet.down == []
    assert fleet.most <= 4
