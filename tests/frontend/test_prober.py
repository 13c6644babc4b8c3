"""One prober for the whole fleet."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serinus.core.instance import Instance
from serinus.discovery.memory import Memory
from serinus.discovery.records import INSTANCES
from serinus.frontend.prober import Prober
from serinus.frontend.reach import Outcome, Reached
from tests.frontend.fleet import NOTREADY, Seen, announce, instance, seen, worker


class Network:
    """What can be reached, and who asked."""

    def __init__(self) -> None:
        self.cut: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.at: list[tuple[float, str]] = []
        self.takes = 0.01
        self.most = self.now = 0

    def by(self, name: str) -> object:
        """What one prober sees."""

        async def reach(one: Instance) -> Reached:
            self.asked[name] += 1
            self.at.append((asyncio.get_running_loop().time(), name))
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(self.takes)
            self.now -= 1
            if one.name in self.cut:
                return Reached(Outcome.FAILED, "no answer in 3 s")
            return Reached(Outcome.REACHED)

        return reach


class Frontend:
    """A view and its prober, which can die."""

    def __init__(self, view: Seen, network: Network, name: str) -> None:
        loop = asyncio.get_running_loop()
        self.seen = view
        self.prober = Prober(
            view.discovery,
            view.view,
            network.by(name),  # type: ignore[arg-type]
            view.settings,
            name=name,
            clock=loop.time,
            wall=lambda: 1_700_000_000.0,
            seed=3,
        )
        self.task = asyncio.create_task(self.prober.run(), name=name)

    def unreachable(self) -> list[str]:
        """What it shows as unreachable."""
        return list(self.seen.view.unreachable())


@asynccontextmanager
async def frontend(
    store: Memory, network: Network, name: str, **settings: object
) -> AsyncIterator[Frontend]:
    """A frontend for a while."""
    async with seen(store, **settings) as view:
        it = Frontend(view, network, name)
        yield it
        it.task.cancel()
        await asyncio.gather(it.task, return_exceptions=True)


async def test_what_cannot_be_reached_is_told_to_all_frontends() -> None:
    """One of them probes, and every one shows what it found."""
    store, network = Memory(), Network()
    network.cut.add(instance(2).name)
    async with (
        worker(store, *map(instance, (1, 2, 3))),
        frontend(store, network, "a") as a,
        frontend(store, network, "b") as b,
    ):
        await asyncio.sleep(6)
        assert set(network.asked) == {"a"}
        assert a.unreachable() == b.unreachable() == [instance(2).name]
        found = b.seen.view.finding(instance(2).name)
        assert found is not None
        assert (found.reason, found.by) == ("no answer in 3 s", "a")
        assert b.seen.view.fleet.totals.unreachable == 1
        assert not b.seen.view.fleet.usable(instance(2).name)


async def test_what_can_be_reached_again_is_cleared_and_its_entry_goes() -> None:
    """A fleet in good health costs its store nothing."""
    store, network = Memory(), Network()
    network.cut.add(instance(2).name)
    async with worker(store, *map(instance, (1, 2))), frontend(store, network, "a") as a:
        await asyncio.sleep(6)
        assert a.unreachable()
        network.cut.clear()
        await asyncio.sleep(3)
        assert a.unreachable() == []
        await asyncio.sleep(4)
        assert not [key for key in store._entries if key.startswith("v1/outside/")]


async def test_one_failure_is_a_suspicion_that_is_asked_about_at_once() -> None:
    """A probe that was lost turns nobody."""
    store, network = Memory(), Network()
    async with worker(store, instance(1)), frontend(store, network, "a") as a:
        await asyncio.sleep(4)
        before = network.asked["a"]
        network.cut.add(instance(1).name)
        while network.asked["a"] == before:  # noqa: ASYNC110 - the clock is virtual
            await asyncio.sleep(0.001)
        network.cut.clear()
        await asyncio.sleep(3)
        assert a.unreachable() == []


async def test_each_instance_is_probed_once_an_interval() -> None:
    """Spread over it, and not all at once."""
    store, network = Memory(), Network()
    async with worker(store, *map(instance, range(20))), frontend(store, network, "a"):
        await asyncio.sleep(1)
        network.at.clear()
        await asyncio.sleep(40)
        times = [at for at, _ in network.at]
        assert 380 <= len(times) <= 420
        assert network.most <= 3


async def test_a_large_fleet_is_probed_less_often() -> None:
    """The rate has a bound, whatever the interval."""
    store, network = Memory(), Network()
    async with (
        worker(store, *map(instance, range(500))),
        frontend(store, network, "a", outside_rate=10.0),
    ):
        await asyncio.sleep(60)
        assert 500 <= len(network.at) <= 620


async def test_what_is_not_ready_in_its_own_eyes_is_not_probed() -> None:
    """It is believed, and nothing is to be learned."""
    store, network = Memory(), Network()
    one = instance(1, NOTREADY, reason="stalled")
    async with worker(store, one), frontend(store, network, "a"):
        await asyncio.sleep(10)
        assert network.asked["a"] == 0


async def test_a_leader_that_dies_is_followed_within_its_lease() -> None:
    """Probes go on within the lease and a second, and two never probe at once."""
    store, network = Memory(), Network()
    network.cut.add(instance(2).name)
    async with worker(store, *map(instance, (1, 2, 3))), seen(store) as view:
        async with seen(store) as dying:
            first = Frontend(dying, network, "first")
            await asyncio.sleep(1)
            survivor = Frontend(view, network, "survivor")
            await asyncio.sleep(6)
            assert survivor.unreachable() == [instance(2).name]
            died = asyncio.get_running_loop().time()
            first.task.cancel()
            connection = dying.discovery._task
            assert connection is not None
            connection.cancel()  # what it stored is left to its lease, as by kill -9
            forgotten = 0
            while not survivor.prober.in_office:
                forgotten += survivor.unreachable() != [instance(2).name]
                await asyncio.sleep(0.05)
            await asyncio.sleep(1)
        after = [(at, name) for at, name in network.at if at > died]
        assert {name for _, name in after} == {"survivor"}
        assert after[0][0] - died <= 3.0 + 1.0
        assert not forgotten, "what the dead one found is believed until the next has looked"
        await asyncio.sleep(10)
        assert survivor.unreachable() == [instance(2).name]
        survivor.task.cancel()
        await asyncio.gather(survivor.task, first.task, return_exceptions=True)


async def test_a_leader_that_ends_hands_over_at_once() -> None:
    """It gives the key back, and what it found is believed until the next one has looked."""
    store, network = Memory(), Network()
    network.cut.add(instance(2).name)
    async with worker(store, *map(instance, (1, 2, 3))), seen(store) as view:
        async with frontend(store, network, "a"):
            b = Frontend(view, network, "b")
            await asyncio.sleep(6)
            assert set(network.asked) == {"a"}
        await asyncio.sleep(0.1)
        assert b.unreachable() == [instance(2).name]
        await asyncio.sleep(1.5)
        assert b.prober.in_office
        assert b.unreachable() == [instance(2).name]
        b.task.cancel()
        await asyncio.gather(b.task, return_exceptions=True)


async def test_what_nobody_probes_any_more_is_forgotten_in_the_end() -> None:
    """An old finding keeps traffic away for a bounded time only."""
    store, network = Memory(), Network()
    network.cut.add(instance(2).name)
    async with worker(store, *map(instance, (1, 2, 3))), seen(store) as view:
        async with frontend(store, network, "a"):
            await asyncio.sleep(6)
        await asyncio.sleep(5)
        view.view.drop_orphans()
        assert list(view.view.unreachable()) == [instance(2).name]
        await asyncio.sleep(6)
        view.view.drop_orphans()
        assert not view.view.unreachable()
        assert view.view.fleet.usable(instance(2).name)


async def test_a_finding_goes_with_its_instance() -> None:
    """Whoever comes back under the name begins anew."""
    store, network = Memory(), Network()
    network.cut.add(instance(2).name)
    async with (
        worker(store, *map(instance, (1, 2, 3))) as other,
        frontend(store, network, "a") as a,
    ):
        await asyncio.sleep(6)
        other.withdraw(INSTANCES + instance(2).name)
        await asyncio.sleep(6)
        assert a.unreachable() == []
        network.cut.clear()
        announce(other, instance(2))
        await asyncio.sleep(0.5)
        assert a.seen.view.fleet.usable(instance(2).name)


async def test_without_an_interval_nobody_probes() -> None:
    """It can be off."""
    store, network = Memory(), Network()
    async with (
        worker(store, instance(1)),
        frontend(store, network, "a", outside_interval=0.0) as a,
    ):
        await asyncio.sleep(30)
        assert not network.asked
        assert a.seen.view.leader == ""


async def test_a_prober_that_fails_begins_anew() -> None:
    """A fault of ours costs a round, and not all probing until the next start."""
    store, network = Memory(), Network()
    async with worker(store, instance(1)), frontend(store, network, "a") as a:
        await asyncio.sleep(3)
        faults = [RuntimeError("a bug"), None]
        probe = a.prober._reach

        async def reach(one: Instance) -> Reached:
            if faults and (fault := faults.pop(0)) is not None:
                raise fault
            return await probe(one)

        a.prober._reach = reach
        before = network.asked["a"]
        await asyncio.sleep(10)
        assert not faults
        assert network.asked["a"] > before
