"""Is it me? A loop of our own that was late accuses nobody."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from serinus.core.status import Reason
from serinus.simulation.virtual_time import VirtualTimeLoop
from tests.runtime.benches import Bench, read
from tests.runtime.engines import TOKEN, Engine


def block(seconds: float) -> None:
    """Block the loop, as a long call in a handler does."""
    cast("VirtualTimeLoop", asyncio.get_running_loop()).advance(seconds)


@pytest.mark.parametrize("seconds", [0.6, 1.0, 30.0])
async def test_a_canary_during_which_the_loop_was_blocked_means_nothing(seconds: float) -> None:
    """Its time was not its own."""
    async with Bench(failure_threshold=1) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.latency = 0.8
        await asyncio.sleep(10.1)
        assert len(engine.canaries) == 2
        block(seconds)
        await asyncio.sleep(0.5)
        assert bench.target().counts.failed == 0
        assert len(bench.turns()) == 1
        await asyncio.sleep(5)
        assert bench.ready()


async def test_a_lost_outcome_is_asked_about_again_at_the_pace_of_retries() -> None:
    """A question is owed."""
    async with Bench(failure_threshold=1) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "hangs"
        await asyncio.sleep(10.1)
        block(0.6)
        await asyncio.sleep(0.5)
        assert bench.target().counts.unknown == 1
        assert bench.standing().suspected
        await asyncio.sleep(2.1)
        assert bench.reason() is Reason.CANARY_TIMEOUT


async def test_a_loop_that_was_a_little_late_does_not_excuse_a_hang() -> None:
    """Half of the time has to be lost before the outcome means nothing."""
    async with Bench(failure_threshold=1) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "hangs"
        await asyncio.sleep(10.1)
        block(0.3)
        await asyncio.sleep(0.8)
        assert bench.reason() is Reason.CANARY_TIMEOUT


async def test_a_blocked_loop_makes_no_stall_of_good_work() -> None:
    """What came in meanwhile is handled before silence is judged."""
    async with Bench(health_check_busy_stall=3, canary_wait_time=1) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.items = [TOKEN] * 100
        engine.latency = 0.5
        reading = asyncio.create_task(read(endpoint.stream({})))
        for _ in range(10):
            await asyncio.sleep(3.33)
            block(4)
        await reading
        assert len(bench.turns()) == 1


async def test_a_stall_is_seen_though_the_loop_is_often_late() -> None:
    """The grace is given once, and not again and again."""
    async with Bench(health_check_busy_stall=3, canary_wait_time=1) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "hangs"
        reading = asyncio.create_task(read(endpoint.stream({})))
        for _ in range(50):
            await asyncio.sleep(0.09)
            block(0.06)
        assert bench.reason() is Reason.STALLED
        reading.cancel()
        await asyncio.wait([reading])
