"""Is it me? A loop of our own that was late accuses nobody."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from serinus.core.status import Reason
from serinus.runtime.loop_watch import LoopWatch
from serinus.runtime.metrics import render
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


async def test_a_loop_that_is_always_late_excuses_a_hang_for_its_budget_and_no_longer() -> None:
    """After it nobody can say that it serves. The fault is ours: no restart is wanted."""
    async with Bench(failure_threshold=1, excuse_budget=20.0, hang_budget=5.0) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "hangs"
        while bench.ready():
            assert bench.now < 60, "excused for ever"
            await asyncio.sleep(0.1)
            block(0.3)
        assert bench.reason() is Reason.BLIND
        assert 10 + 20 <= bench.now <= 10 + 20 + 8
        assert bench.target().counts.failed == 0
        for _ in range(100):
            await asyncio.sleep(0.1)
            block(0.3)
        assert bench.liveness().live
        await asyncio.sleep(3)
        assert bench.reason() is Reason.CANARY_TIMEOUT, "the loop is on time again"


async def test_the_report_says_what_trouble_of_our_own_there_was() -> None:
    """Is it me: since when, how often, and what was excused."""
    async with Bench(failure_threshold=1) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "hangs"
        await asyncio.sleep(10.1)
        block(0.7)
        await asyncio.sleep(0.3)
        own = bench.board.report().own
        assert own.excused == 1
        assert own.loop_lost == pytest.approx(0.6, abs=0.11)
        assert own.trouble is not None
        assert own.trouble.detail.startswith("our own event loop lost 0.6")
        text = render(bench.board, {}).decode()
        assert "serinus_canaries_excused_total 1" in text
        assert "serinus_engines_lost_at_once 0" in text


async def test_a_process_that_was_stopped_makes_no_stall_of_silent_work() -> None:
    """What it did not see for a minute is no silence of the engine's."""
    async with Bench(health_check_busy_stall=5, canary_wait_time=1) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.items, engine.latency = [TOKEN] * 3, 4.0
        reading = asyncio.create_task(read(endpoint.stream({})))
        await asyncio.sleep(3.5)
        block(60)
        await reading
        assert len(bench.turns()) == 1
        trouble = bench.board.report().own.trouble
        assert trouble is not None
        assert "our own event loop was late by 5" in trouble.detail or "by 60" in trouble.detail


class Sleeper:
    """A host that can be suspended, as the clock that counts sleep tells of it."""

    def __init__(self) -> None:
        self.slept = 1000.0

    def __call__(self) -> float:
        """Seconds of sleep since the host started."""
        return self.slept


async def test_a_canary_during_which_the_host_slept_means_nothing() -> None:
    """The monotonic clock stands still meanwhile: only the sleep's own clock tells."""
    async with Bench(failure_threshold=1) as bench:
        host = Sleeper()
        bench.manager.watch = LoopWatch(slept=host, trouble=bench.manager._troubled)
        bench.manager.watch.start()
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "hangs"
        await asyncio.sleep(10.3)
        host.slept += 3600
        await asyncio.sleep(1)
        assert bench.ready()
        own = bench.board.report().own
        assert (own.suspensions, own.suspended, own.excused) == (1, 3600.0, 1)
        await asyncio.sleep(3)
        assert bench.reason() is Reason.CANARY_TIMEOUT, "and the next one counts"
        bench.manager.watch.stop()


async def test_a_handler_that_does_not_end_is_not_accused_while_our_loop_is_late() -> None:
    """It had no time to end in."""
    async with Bench(failure_threshold=2, canary_cancel_grace=1.0) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "will_not_end"
        await asyncio.sleep(11.1)
        assert bench.standing().failures == 1
        block(0.9)
        await asyncio.sleep(0.2)
        assert bench.ready()
        assert bench.manager.excused == 1
        engine.behaviour = "good"
        await asyncio.sleep(3)
        assert bench.ready()
