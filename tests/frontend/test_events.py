"""The stream of changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from serinus.discovery.memory import Memory
from serinus.frontend.events import Events
from tests.frontend.fleet import NOTREADY, Seen, announce, instance, seen, worker


def events_of(frontend: Seen, **more: Any) -> Events:
    """The stream of a view, told of every change."""
    events = Events(
        frontend.view,
        frontend.bodies,
        most=more.pop("most", 10),
        clock=asyncio.get_running_loop().time,
        **more,
    )

    def changed(names: frozenset[str]) -> None:
        pools, models = frontend.bodies.refresh()
        events.publish(pools, models, names)

    frontend.view._told[:] = [changed]
    return events


async def read(stream: AsyncIterator[list[bytes]]) -> tuple[str, dict[str, Any]]:
    """The next event that is no comment."""
    async for pieces in stream:
        text = b"".join(pieces).decode()
        if text.startswith("event: "):
            kind = text.split("\n")[0].removeprefix("event: ")
            data = [one[6:] for one in text.split("\n") if one.startswith("data: ")]
            assert len(data) == 1, "an event is one line of data"
            return kind, json.loads(data[0])
    raise AssertionError("the stream ended")


async def test_the_state_comes_first_and_then_what_changes() -> None:
    """A reader needs no request beside it."""
    store = Memory()
    async with seen(store) as frontend, worker(store, instance(1)) as other:
        stream = events_of(frontend).stream(instances=False)
        kind, told = await read(stream)
        assert (kind, told["endpoints"][0]["total"]) == ("state", 1)
        assert "instances" not in told
        announce(other, instance(2))
        kind, told = await read(stream)
        assert (kind, told["endpoints"][0]["total"]) == ("change", 2)


async def test_instances_come_for_who_asks_for_them() -> None:
    """With their fragments when they change, and their names when they go."""
    store = Memory()
    async with seen(store) as frontend, worker(store, instance(1)) as other:
        stream = events_of(frontend).stream(instances=True)
        _, told = await read(stream)
        assert [one["instance_id"] for one in told["instances"]] == [1]
        other.withdraw("v1/instances/" + instance(1).name)
        announce(other, instance(2, NOTREADY, reason="stalled"))
        seen_: list[str] = []
        gone: list[str] = []
        while not (seen_ and gone):
            _, told = await read(stream)
            seen_ += [one["status"] for one in told["instances"]]
            gone += told.get("gone", [])
        assert (seen_, gone) == (["notready"], [instance(1).name])


async def test_a_slow_reader_gets_the_last_of_many_changes() -> None:
    """Nothing queues for it: what it has not read is remembered by name alone."""
    store = Memory()
    async with seen(store) as frontend, worker(store, instance(1)) as other:
        events = events_of(frontend)
        stream = events.stream(instances=True)
        await read(stream)
        for round_ in range(50):
            announce(other, instance(1, NOTREADY, reason=f"reason_{round_}"))
            await asyncio.sleep(0.05)
        (reader,) = events.readers
        assert len(reader.instances) + len(reader.pools) + len(reader.models) == 2
        _, told = await read(stream)
        assert told["endpoints"][0]["reasons"] == {"reason_49": 1}
        assert not reader.news.is_set(), "one event told all of it"


async def test_a_reader_that_is_too_far_behind_gets_the_state_anew() -> None:
    """What is remembered for it is bounded."""
    store = Memory()
    async with seen(store) as frontend, worker(store) as other:
        events = events_of(frontend)
        stream = events.stream(instances=True)
        await read(stream)
        announce(other, *map(instance, range(5000)))
        await other.settled()
        await asyncio.sleep(1)
        (reader,) = events.readers
        assert reader.anew
        kind, told = await read(stream)
        assert (kind, len(told["instances"])) == ("state", 5000)


async def test_quiet_is_broken_by_heartbeats() -> None:
    """So that a reader, and what is between, can tell quiet from silence."""
    store = Memory()
    async with seen(store) as frontend, worker(store):
        stream = events_of(frontend, beat=15.0).stream(instances=False)
        await read(stream)
        began = asyncio.get_running_loop().time()
        assert await anext(stream) == [b": beat\n\n"]
        assert 15.0 <= asyncio.get_running_loop().time() - began < 15.1


async def test_a_turn_of_the_stage_is_told_to_everybody() -> None:
    """A view that becomes stale is news, although no instance changed."""
    store = Memory()
    async with seen(store) as frontend, worker(store, instance(1)):
        events = events_of(frontend)
        stream = events.stream(instances=False)
        await read(stream)
        events.publish(set(), set(), frozenset())
        store.fail()
        await asyncio.sleep(5)
        frontend.refresh()
        events.publish(set(), set(), frozenset())
        _, told = await read(stream)
        assert told["stage"] == "stale"
        assert told["stale_seconds"] > 4


async def test_the_end_is_told() -> None:
    """A frontend that ends says so, and holds nobody up."""
    store = Memory()
    async with seen(store) as frontend, worker(store):
        events = events_of(frontend)
        stream = events.stream(instances=False)
        await read(stream)
        events.end()
        assert (await read(stream))[0] == "end"
        assert [piece async for piece in stream] == []
        assert not events.readers
