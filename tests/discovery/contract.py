"""What every backend must do: one suite, run over each of them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress

import pytest

from serinus.discovery import Backend, Change, Session
from serinus.errors import DiscoveryError

KEY = "v1/instances/demo/backend/generate/1f"
OTHER = "v1/instances/demo/backend/generate/20"
PREFIX = "v1/instances/"


class World(ABC):
    """A backend's store: clients of it, and its end and return."""

    lease: float = 3.0
    """Seconds of a lease in these tests."""
    late: float = 1.5
    """Seconds after a lease's end within which its entries are gone for others."""

    @abstractmethod
    def client(self) -> Backend:
        """Return one more client, as another process would have."""

    @abstractmethod
    async def fail(self) -> None:
        """Have the store go away at once, as if its server were killed."""

    @abstractmethod
    async def restore(self) -> None:
        """Have the store come back."""


async def until(holds: Callable[[], object], *, seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - any condition, whoever makes it true
            await asyncio.sleep(0.01)


@asynccontextmanager
async def kept(world: World) -> AsyncIterator[Session]:
    """Open a session whose lease is kept, as its user does."""
    async with world.client().session(lease=world.lease) as session:
        keeper = asyncio.create_task(session.keep(), name="keeper")
        try:
            yield session
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)


@asynccontextmanager
async def watched(session: Session, prefix: str) -> AsyncIterator[list[Change]]:
    """Collect the changes from now on."""
    seen: list[Change] = []
    listing = await session.list(prefix)

    async def collect() -> None:
        async with aclosing(session.watch(prefix, listing)) as changes:  # type: ignore[type-var]
            async for change in changes:
                seen.append(change)  # noqa: PERF401 - it is read while it grows

    collector = asyncio.create_task(collect(), name="collector")
    try:
        yield seen
    finally:
        collector.cancel()
        await asyncio.gather(collector, return_exceptions=True)


class _KilledError(Exception):
    """Leaves a session as a process does that is killed: nothing is taken back."""


async def _put_and_die(world: World, seen: Callable[[], bool]) -> None:
    with suppress(_KilledError):
        async with world.client().session(lease=world.lease) as session:
            await session.put(KEY, b"1")
            await until(seen)
            raise _KilledError


class BackendContract:
    """The suite. A backend's test class inherits it and has a fixture `world`."""

    async def test_what_is_put_is_listed_for_others(self, world: World) -> None:
        """Key and value arrive as they were given."""
        async with kept(world) as one, kept(world) as other:
            await one.put(KEY, b'{"a":1}')
            assert (await other.list(PREFIX)).entries == {KEY: b'{"a":1}'}

    async def test_a_listing_has_only_what_is_under_the_prefix(self, world: World) -> None:
        """Buckets and longer prefixes are told apart."""
        model = "v1/mdc/demo/backend/generate/1f"
        async with kept(world) as session:
            await session.put(KEY, b"1")
            await session.put(OTHER, b"2")
            await session.put(model, b"3")
            assert set((await session.list("v1/mdc/")).entries) == {model}
            assert set((await session.list(PREFIX)).entries) == {KEY, OTHER}
            assert set((await session.list(KEY)).entries) == {KEY}
            assert not (await session.list("v1/nothing/")).entries

    async def test_keys_with_unusual_characters_come_back_as_they_were(self, world: World) -> None:
        """Names may have what an address may have, and the key stays whole."""
        key = "v1/instances/a-b_c/Comp-1/gen_x-/ffffffffffffffff"
        async with kept(world) as session:
            await session.put(key, "é".encode())
            assert (await session.list("v1/instances/a-b_c/")).entries == {key: "é".encode()}

    async def test_put_again_replaces_the_value(self, world: World) -> None:
        """An update is a put."""
        async with kept(world) as session:
            await session.put(KEY, b"old")
            await session.put(KEY, b"new")
            assert (await session.list(PREFIX)).entries == {KEY: b"new"}

    async def test_deleted_is_gone_and_twice_is_no_error(self, world: World) -> None:
        """Whoever withdraws need not know whether it is there."""
        async with kept(world) as session:
            await session.put(KEY, b"1")
            await session.delete(KEY)
            await session.delete(KEY)
            assert not (await session.list(PREFIX)).entries

    async def test_one_of_many_creates(self, world: World) -> None:
        """However many try at once, one is told that it did."""
        async with kept(world) as one, kept(world) as other:
            won = await asyncio.gather(*(session.create(KEY, b"x") for session in (one, other) * 4))
            assert sorted(won) == [False] * 7 + [True]
            winner = one if True in won[::2] else other
            await winner.delete(KEY)
            assert await other.create(KEY, b"y")

    async def test_a_watch_yields_what_came_after_the_listing(self, world: World) -> None:
        """Puts, updates and removals of others, in the order of each key."""
        async with kept(world) as reader, kept(world) as writer:
            await writer.put(KEY, b"before")
            async with watched(reader, PREFIX) as seen:
                await writer.put(OTHER, b"1")
                await until(lambda: Change(OTHER, b"1") in seen)
                await writer.put(KEY, b"after")
                await until(lambda: Change(KEY, b"after") in seen)
                await writer.delete(KEY)
                await until(lambda: Change(KEY, None) in seen)
            assert Change(KEY, b"before") not in seen

    async def test_nothing_is_missed_between_listing_and_watch(self, world: World) -> None:
        """What changed after the listing and before the watch began is yielded."""
        async with kept(world) as reader, kept(world) as writer:
            listing = await reader.list(PREFIX)
            await writer.put(KEY, b"1")
            async with asyncio.timeout(20), aclosing(reader.watch(PREFIX, listing)) as changes:  # type: ignore[type-var]
                assert await anext(changes) == Change(KEY, b"1")

    async def test_a_watch_of_a_prefix_leaves_others_out(self, world: World) -> None:
        """A watcher of instances hears nothing of models."""
        async with kept(world) as reader, kept(world) as writer:
            async with watched(reader, PREFIX) as seen:
                await writer.put("v1/mdc/demo/backend/generate/1f", b"m")
                await writer.put(KEY, b"1")
                await until(lambda: seen)
            assert [change.key for change in seen] == [KEY]

    async def test_many_changes_all_arrive(self, world: World) -> None:
        """The last word of each of many keys arrives."""
        keys = [f"v1/instances/demo/backend/generate/{number:x}" for number in range(200)]
        async with (
            kept(world) as reader,
            kept(world) as writer,
            watched(reader, PREFIX) as seen,
        ):
            for key in keys:
                await writer.put(key, b"first")
            for key in keys:
                await writer.put(key, b"last")
            await until(lambda: {c.key for c in seen if c.value == b"last"} == set(keys))

    async def test_leaving_takes_back_what_was_put(self, world: World) -> None:
        """A worker that stops in order is gone at once, also for a watcher."""
        async with kept(world) as reader, watched(reader, PREFIX) as seen:
            async with kept(world) as writer:
                await writer.put(KEY, b"1")
                await until(lambda: seen)
            await until(lambda: Change(KEY, None) in seen, seconds=world.lease)
            assert not (await reader.list(PREFIX)).entries

    async def test_the_entries_of_the_dead_are_gone_within_the_lease(self, world: World) -> None:
        """A lease that is not kept runs out, and that is a change."""
        loop = asyncio.get_running_loop()
        async with kept(world) as reader, watched(reader, PREFIX) as seen:
            await _put_and_die(world, lambda: bool(seen))
            died = loop.time()
            await until(lambda: Change(KEY, None) in seen, seconds=world.lease + 10)
            took = loop.time() - died
            assert not (await reader.list(PREFIX)).entries
        assert took <= world.lease + world.late

    async def test_a_kept_lease_does_not_run_out(self, world: World) -> None:
        """Entries stay for as long as the lease is kept."""
        async with kept(world) as reader, kept(world) as writer:
            await writer.put(KEY, b"1")
            async with watched(reader, PREFIX) as seen:
                await asyncio.sleep(2 * world.lease)
            assert Change(KEY, None) not in seen
            assert set((await reader.list(PREFIX)).entries) == {KEY}

    async def test_a_lost_store_is_told_of_and_leaves_no_call_hanging(self, world: World) -> None:
        """Keeping the lease raises before others may have seen it run out; calls raise in time."""
        loop = asyncio.get_running_loop()
        async with world.client().session(lease=world.lease) as session:
            await session.put(KEY, b"1")
            await world.fail()
            began = loop.time()
            for call in (session.keep(), session.list(PREFIX), session.put(KEY, b"2")):
                with pytest.raises(DiscoveryError):
                    await call
            assert loop.time() - began <= 2 * world.lease

    async def test_connecting_to_a_lost_store_raises_in_time(self, world: World) -> None:
        """It is tried once, no longer than a lease lasts, and the error has the place."""
        await world.fail()
        loop = asyncio.get_running_loop()
        began = loop.time()
        backend = world.client()
        with pytest.raises(DiscoveryError, match=r"\S"):
            async with backend.session(lease=world.lease):
                raise AssertionError("connected to nothing")
        assert loop.time() - began <= world.lease + world.late
