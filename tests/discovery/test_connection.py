"""`Discovery`: what is announced stays announced, what is known is never emptied by trouble."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from serinus.core.address import EndpointAddress
from serinus.core.instance import Instance
from serinus.discovery import Change, Discovery, Listing
from serinus.discovery.memory import Memory
from serinus.discovery.records import INSTANCES, encode, key_of
from tests.discovery.contract import until

ADDRESS = EndpointAddress("demo", "backend", "generate")
LEASE = 3.0


def entry(number: int, *, owner: str) -> tuple[str, bytes]:
    """Return the key and the record of an instance."""
    instance = Instance(ADDRESS, number, {"http": "http://127.0.0.1:1"}, owner=owner)
    return key_of(instance), encode(instance)


class Fleet:
    """Processes around one store."""

    def __init__(self, open_: AsyncExitStack) -> None:
        self.store = Memory()
        self._open = open_

    async def process(self, owner: str) -> Discovery:
        """Return one more process's connection."""
        clock = asyncio.get_running_loop().time
        connection = Discovery(self.store, lease=LEASE, owner=owner, clock=clock, seed=1)
        return await self._open.enter_async_context(connection)


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """Return a store with processes that end with the test."""
    async with AsyncExitStack() as opened:
        yield Fleet(opened)


async def test_what_is_announced_is_mirrored(fleet: Fleet) -> None:
    """Announce, change, withdraw: others see each."""
    worker, frontend = await fleet.process("w"), await fleet.process("f")
    mirror = frontend.mirror(INSTANCES)
    key, record = entry(1, owner="w")
    worker.announce(key, record)
    await until(lambda: mirror.entries == {key: record})
    worker.announce(key, record + b" ")
    await until(lambda: mirror.entries == {key: record + b" "})
    worker.withdraw(key)
    await until(lambda: mirror.complete and not mirror.entries)


async def test_a_mirror_is_stale_and_never_empty_while_the_backend_is_away(fleet: Fleet) -> None:
    """Its entries stay, and it says for how long it has been blind."""
    worker, frontend = await fleet.process("w"), await fleet.process("f")
    mirror = frontend.mirror(INSTANCES)
    key, record = entry(1, owner="w")
    worker.announce(key, record)
    await until(lambda: mirror.entries and mirror.age is None)
    fleet.store.fail()
    await until(lambda: mirror.age is not None)
    await asyncio.sleep(10)
    assert mirror.entries == {key: record}
    assert mirror.age is not None
    assert 9.5 < mirror.age < 11.5
    assert "cannot be reached" in frontend.trouble


@pytest.mark.parametrize("empty", [False, True], ids=["with its memory", "without its memory"])
async def test_nothing_is_lost_or_doubled_when_the_backend_comes_back(
    fleet: Fleet, *, empty: bool
) -> None:
    """Everything is announced again under its key; followers see no instance go meanwhile."""
    workers = [await fleet.process(f"w{number}") for number in range(5)]
    frontend = await fleet.process("f")
    mirror = frontend.mirror(INSTANCES)
    entries = dict(entry(number, owner=f"w{number}") for number in range(5))
    for worker, (key, record) in zip(workers, entries.items(), strict=True):
        worker.announce(key, record)
    await until(lambda: mirror.entries == entries)
    seen: list[Change] = []
    mirror.follow(seen.extend)
    fleet.store.fail()
    await asyncio.sleep(10)
    fleet.store.restore(empty=empty)
    await until(lambda: mirror.age is None)
    for worker in workers:
        await worker.settled()
    await asyncio.sleep(3 * LEASE)
    assert mirror.entries == entries
    assert [change for change in seen if change.value is None] == []


async def test_who_died_while_the_backend_was_away_is_dropped_after_the_grace(
    fleet: Fleet,
) -> None:
    """An entry that nobody announces again is gone when its grace is over."""
    frontend = await fleet.process("f")
    mirror = frontend.mirror(INSTANCES)
    key, record = entry(1, owner="w")
    async with Discovery(fleet.store, lease=LEASE, owner="w") as worker:
        worker.announce(key, record)
        await until(lambda: mirror.entries)
        fleet.store.fail()
    fleet.store.restore(empty=True)
    await until(lambda: mirror.age is None)
    assert mirror.entries == {key: record}
    await asyncio.sleep(LEASE + 0.5)
    assert not mirror.entries


async def test_an_instance_id_that_another_process_has_is_not_overwritten(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    """The second says so once, and announces when the first is gone."""
    frontend = await fleet.process("f")
    mirror = frontend.mirror(INSTANCES)
    key, first = entry(1, owner="first")
    async with Discovery(fleet.store, lease=LEASE, owner="first") as one:
        one.announce(key, first)
        await until(lambda: mirror.entries)
        second = await fleet.process("second")
        with caplog.at_level(logging.ERROR, logger="serinus"):
            second.announce(*entry(1, owner="second"))
            await second.settled()
            await asyncio.sleep(10)
        assert mirror.entries == {key: first}
        assert second.conflicts() == {key: "first"}
    assert len([r for r in caplog.records if "every instance needs an id" in r.message]) == 1
    await until(lambda: mirror.entries.get(key) == entry(1, owner="second")[1])
    assert second.conflicts() == {}


async def test_one_alone_leads_and_another_takes_over_within_the_lease(fleet: Fleet) -> None:
    """Killed or resigned, the leader is followed by one other."""
    loop = asyncio.get_running_loop()
    others = [await fleet.process(f"o{number}") for number in range(3)]
    first = Discovery(fleet.store, lease=LEASE, owner="first")
    async with first:
        led = first.lead("v1/leaders/prober", b"first")
        await asyncio.wait_for(led.won(), 5)
        waiting = [one.lead("v1/leaders/prober", b"other") for one in others]
        await asyncio.sleep(10)
        assert led.held
        assert not any(one.held for one in waiting)
        assert first._task is not None
        first._task.cancel()  # it dies as a killed process does: nothing is taken back
        died = loop.time()
        await until(lambda: any(one.held for one in waiting))
        assert loop.time() - died <= LEASE + 1
        assert [one for one in (led, *waiting) if one.held] == [w for w in waiting if w.held][:1]
        leader = next(one for one in waiting if one.held)
        others[waiting.index(leader)].resign(leader)
        await until(lambda: any(one.held for one in waiting if one is not leader))
        assert sum(one.held for one in waiting) == 1


async def test_a_leader_that_cannot_keep_its_lease_knows_that_it_does_not_lead(
    fleet: Fleet,
) -> None:
    """It stops before anyone else may have begun."""
    one = await fleet.process("one")
    led = one.lead("v1/leaders/prober", b"one")
    await led.won()
    fleet.store.fail()
    await asyncio.wait_for(led.lost(), LEASE)


async def test_mirrors_and_leaderships_that_come_later_join(fleet: Fleet) -> None:
    """Whoever is connected already is asked for more."""
    one, other = await fleet.process("one"), await fleet.process("other")
    await until(lambda: one.connected and other.connected)
    key, record = entry(1, owner="one")
    one.announce(key, record)
    await one.settled()
    mirror = other.mirror(INSTANCES)
    await until(lambda: mirror.entries == {key: record})
    await asyncio.wait_for(other.lead("v1/leaders/x", b"other").won(), 5)


async def test_changes_that_were_missed_are_healed_by_listing_again(fleet: Fleet) -> None:
    """A watch that cannot go on costs a listing, and no announcement."""
    one, other = await fleet.process("one"), await fleet.process("other")
    mirror = other.mirror(INSTANCES)
    one.announce(*entry(1, owner="one"))
    await until(lambda: len(mirror.entries) == 1)
    async with fleet.store.session(lease=LEASE) as session:
        for number in range(70000):  # more than is remembered, before the watch comes to its turn
            await session.put(f"v1/other/a/b/{number:x}", b"x")
        one.announce(*entry(2, owner="one"))
        await until(lambda: len(mirror.entries) == 2)
    assert mirror.age is None


async def test_a_mistake_of_our_own_ends_no_connection_for_good(
    fleet: Fleet, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is seen in the log, the view is stale meanwhile, and everything is begun anew."""
    worker, frontend = await fleet.process("w"), await fleet.process("f")
    mirror = frontend.mirror(INSTANCES)
    key, record = entry(1, owner="w")
    worker.announce(key, record)
    await until(lambda: mirror.entries == {key: record})

    def broken(_: str) -> Listing:
        raise KeyError("ID")

    monkeypatch.setattr(fleet.store, "listing", broken)
    fleet.store.fail()
    await until(lambda: frontend.trouble)
    fleet.store.restore()
    await until(lambda: "KeyError" in frontend.trouble)
    assert mirror.age is not None
    assert mirror.entries == {key: record}
    monkeypatch.undo()
    await until(lambda: frontend.connected and mirror.age is None)
    assert "a mistake of our own" in caplog.text
    worker.withdraw(key)
    await until(lambda: not mirror.entries)


async def test_a_follower_that_fails_harms_no_other(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    """Others hear, and the connection lives on."""
    worker, frontend = await fleet.process("w"), await fleet.process("f")
    mirror = frontend.mirror(INSTANCES)
    heard: list[Change] = []

    def fails(_: list[Change]) -> None:
        raise ValueError("mine")

    mirror.follow(fails)
    mirror.follow(heard.extend)
    worker.announce(*entry(1, owner="w"))
    await until(lambda: heard)
    assert frontend.connected
    assert "a follower of v1/instances/ failed" in caplog.text
