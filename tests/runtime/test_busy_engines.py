"""Busy is not hung: traffic instead of canaries, and a stall budget for work in flight."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from serinus.core.marker import is_health_check
from serinus.core.status import Reason
from tests.runtime.benches import PAYLOAD, Bench, first_of, read
from tests.runtime.engines import TOKEN, Engine


class OneSlot:
    """An engine that serves one request at a time: a lock is held across its yields."""

    def __init__(self) -> None:
        self.slot = asyncio.Lock()
        self.canaries: list[float] = []
        self.queued = 0

    async def generate(self, request: Any) -> AsyncIterator[Any]:
        """Take the slot; a user's request takes 6 s to its first token."""
        canary = is_health_check(request)
        if canary:
            self.canaries.append(asyncio.get_running_loop().time())
            self.queued += self.slot.locked()
        async with self.slot:
            await asyncio.sleep(0.01 if canary else 6)
            for _ in range(1 if canary else 5):
                yield TOKEN
                await asyncio.sleep(0 if canary else 0.1)


@pytest.mark.parametrize("phase", [0.0, 0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("users", [1, 4])
async def test_the_one_slot_engine_is_ready_throughout(phase: float, users: int) -> None:
    """Not one not ready, no canary behind the work, and none piled up after it."""
    async with Bench(canary_wait_time=1, failure_threshold=1) as bench:
        engine = OneSlot()
        endpoint = bench.endpoint()
        await endpoint.register(engine.generate, health_check_payload=PAYLOAD)
        await bench.until_ready()
        await asyncio.sleep(3 + phase)
        before = len(engine.canaries)
        await asyncio.gather(*(read(endpoint.stream({})) for _ in range(users)))
        assert len(engine.canaries) == before
        await asyncio.sleep(3.5)
        assert len(engine.canaries) - before <= 4
        assert engine.queued == 0
        assert len(bench.turns()) == 1


async def test_a_canary_that_is_overtaken_by_work_counts_for_nothing() -> None:
    """Sent while idle, it then stands behind a request of 6 s."""
    async with Bench(failure_threshold=1) as bench:
        engine = OneSlot()
        endpoint = bench.endpoint()
        await endpoint.register(engine.generate, health_check_payload=PAYLOAD)
        await bench.until_ready()
        await asyncio.sleep(9.9)
        await engine.slot.acquire()
        await asyncio.sleep(0.2)
        assert len(engine.canaries) == 2
        reading = asyncio.create_task(read(endpoint.stream({})))
        await asyncio.sleep(1)
        engine.slot.release()
        await asyncio.sleep(0.5)
        assert bench.standing().asked_at == pytest.approx(bench.began + 11, abs=0.2)
        await reading
        assert len(bench.turns()) == 1
        assert len(engine.canaries) == 2


async def test_successful_traffic_defers_canaries() -> None:
    """Ten requests a second: not one canary, and a wait after the last of them the first."""
    async with Bench(canary_wait_time=1) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        for _ in range(70):
            await read(endpoint.stream({}))
            await asyncio.sleep(0.09)
        assert len(engine.canaries) == 1
        await asyncio.sleep(1)
        assert len(engine.canaries) == 2


async def test_long_streams_defer_canaries() -> None:
    """Sixteen generations of minutes, all the time a chunk somewhere."""
    async with Bench(canary_wait_time=1, failure_threshold=1) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.items = [TOKEN] * 150
        engine.latency = 0.7
        await asyncio.gather(*(read(endpoint.stream({})) for _ in range(16)))
        assert len(engine.canaries) == 1
        assert len(bench.turns()) == 1


async def test_traffic_that_is_answered_with_nothing_defers_no_canary() -> None:
    """The reference is deceived by it: 200 throughout."""
    async with Bench(canary_wait_time=1, canary_jitter=0.1) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "yields_nothing"
        began = bench.now
        while bench.ready():
            await read(endpoint.stream({}))
            await asyncio.sleep(0.09)
            assert bench.now - began < 3
        assert bench.reason() is Reason.CANARY_EMPTY


async def test_one_item_and_then_nothing_is_seen_within_the_stall_budget() -> None:
    """Users who hang on: the reference is deceived by each first item."""
    async with Bench(canary_wait_time=1, health_check_busy_stall=5) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "one_then_hangs"
        began = bench.now
        users: list[asyncio.Task[list[Any]]] = []
        while bench.ready():
            users.append(asyncio.create_task(read(endpoint.stream({}))))
            await asyncio.sleep(0.1)
            assert bench.now - began < 5.3
        assert bench.now - began >= 4.9
        assert bench.reason() is Reason.STALLED
        for user in users:
            user.cancel()
        await asyncio.wait(users)


@pytest.mark.parametrize("patience", [0.5, 2.0, 4.0])
@pytest.mark.parametrize("rest", [0.0, 0.3])
async def test_users_who_give_up_one_after_the_other_are_a_stall_too(
    patience: float, rest: float
) -> None:
    """None waits for the whole budget; their silences add up."""
    async with Bench(canary_wait_time=1, health_check_busy_stall=5) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "one_then_hangs"
        began = bench.now
        while bench.ready():
            user = asyncio.create_task(read(endpoint.stream({})))
            await asyncio.wait([user], timeout=patience)
            user.cancel()
            await asyncio.wait([user])
            await asyncio.sleep(rest)
            assert bench.now - began < 5 * (1 + rest / patience) + patience + 1.1
        assert bench.reason() in {Reason.STALLED, Reason.CANARY_TIMEOUT}


async def test_users_who_always_leave_early_are_no_stall() -> None:
    """Requests cancelled before their first token, between good canaries."""
    async with Bench(canary_wait_time=1, health_check_busy_stall=5, canary_jitter=0.1) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.latency = 0.2
        for _ in range(200):
            user = asyncio.create_task(read(endpoint.stream({})))
            await asyncio.sleep(0.1)
            user.cancel()
            await asyncio.wait([user])
            await asyncio.sleep(0.4)
        assert len(bench.turns()) == 1


async def test_a_long_first_token_within_the_stall_budget_is_no_fault() -> None:
    """A prompt of a million tokens."""
    async with Bench(canary_wait_time=1, failure_threshold=1) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        await asyncio.sleep(0.5)
        engine.latency = 59
        await read(endpoint.stream({}))
        assert len(bench.turns()) == 1


async def test_a_stalled_endpoint_is_ready_with_its_next_token() -> None:
    """At once, and not at the next look."""
    async with Bench(health_check_busy_stall=5, canary_wait_time=100) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.items = [TOKEN] * 3
        engine.latency = 7
        reading = asyncio.create_task(read(endpoint.stream({})))
        await asyncio.sleep(6.9)
        assert bench.reason() is Reason.STALLED
        await asyncio.sleep(7.2)
        assert bench.ready()
        assert [why for _, why in bench.turns()] == ["canary", "stalled", "traffic"]
        await reading


async def test_an_answer_in_one_piece_ends_a_stall_as_it_ends() -> None:
    """A request that is not streamed has one chunk and its end."""
    async with Bench(health_check_busy_stall=5, canary_wait_time=100) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.latency = 7
        reading = asyncio.create_task(read(endpoint.stream({})))
        await asyncio.sleep(6.9)
        assert bench.reason() is Reason.STALLED
        await reading
        assert bench.ready()


async def test_a_late_look_does_not_make_a_stall_of_good_work() -> None:
    """Chunks that came before the look are believed before anyone is judged.

    The wait is longer than the stall budget, so that the look comes when a stall would be due.
    """
    async with Bench(health_check_busy_stall=3, canary_wait_time=100) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.items = [TOKEN] * 40_000
        engine.latency = 0.0011
        users = [asyncio.create_task(read(endpoint.stream({}))) for _ in range(4)]
        await asyncio.wait(users)
        assert len(bench.turns()) == 1


async def test_a_consumer_that_rests_does_not_defer_canaries() -> None:
    """Its stream is open, and the engine owes it nothing."""
    async with Bench(canary_wait_time=1) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.items = [TOKEN] * 2
        stream = endpoint.stream({})
        await first_of(stream)
        asked = len(engine.canaries)
        await asyncio.sleep(10)
        assert len(engine.canaries) - asked >= 9
        assert bench.ready()
        await stream.aclose()
