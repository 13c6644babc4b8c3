"""Holds, leases, draining and stopping: what the owner says, and what it does to canaries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serinus.core.status import HealthStatus, Reason, Rule
from serinus.errors import SettingsError
from tests.runtime.benches import Bench, read
from tests.runtime.engines import Engine
from tests.runtime.targets import Question, manager, target


async def test_a_lease_stops_canaries_and_excuses_silence_until_its_end() -> None:
    """A canary in flight when it begins is excused too."""
    async with Bench(failure_threshold=1) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "hangs"
        await asyncio.sleep(10.5)
        assert len(engine.canaries) == 2
        bench.board.lease("weights", seconds=100)
        await asyncio.sleep(99.9)
        assert len(engine.canaries) == 2
        assert bench.ready()
        engine.behaviour = "good"
        await asyncio.sleep(0.2)
        assert len(engine.canaries) == 3
        assert len(bench.turns()) == 1


async def test_an_engine_that_does_not_wake_is_seen_after_its_lease() -> None:
    """Within the deadlines, and its hang has its whole budget."""
    async with Bench(hang_budget=30) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "hangs"
        bench.board.lease("sleep", seconds=50)
        await asyncio.sleep(49.9)
        assert bench.ready()
        await asyncio.sleep(2.2)
        assert bench.reason() is Reason.CANARY_TIMEOUT
        assert bench.liveness().live
        await asyncio.sleep(30)
        assert not bench.liveness().live


async def test_a_lease_can_be_ended_early_and_twice() -> None:
    """Canaries go on at once."""
    async with Bench() as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        lease = bench.board.lease("weights", seconds=1000)
        assert [kept.why for kept in bench.board.report().leases] == ["weights"]
        await asyncio.sleep(50)
        lease.release()
        lease.release()
        assert bench.board.report().leases == ()
        await asyncio.sleep(0.1)
        assert len(engine.canaries) == 2


async def test_of_two_leases_the_later_end_counts() -> None:
    """Ending one does not end the other."""
    async with Bench() as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        short = bench.board.lease("compile", seconds=20)
        bench.board.lease("weights", seconds=100)
        short.release()
        await asyncio.sleep(99)
        assert len(engine.canaries) == 1
        await asyncio.sleep(2)
        assert len(engine.canaries) == 2


async def test_an_endpoint_that_comes_inside_a_lease_is_asked_after_it() -> None:
    """It is told of the lease that runs."""
    async with Bench() as bench:
        bench.board.lease("weights", seconds=20)
        engine = Engine()
        await bench.serve(engine)
        await asyncio.sleep(19)
        assert engine.canaries == []
        await asyncio.sleep(2)
        assert bench.ready()


@pytest.mark.parametrize("seconds", [0, -1, 3600.1, float("nan"), float("inf"), "5", None, True])
async def test_a_lease_without_a_bound_is_refused(seconds: Any) -> None:
    """With its value, and what is accepted."""
    async with Bench() as bench:
        with pytest.raises(SettingsError) as caught:
            bench.board.lease("weights", seconds=seconds)
        assert str(caught.value) == (
            f"lease 'weights': {seconds!r} s; accepted: more than 0 and at most 3600 s (lease_max)"
        )


async def test_holds_withhold_readiness_and_nothing_else() -> None:
    """Canaries go on, `/live` stays, and releasing twice is releasing once."""
    async with Bench() as bench:
        engine = Engine()
        await bench.serve(engine)
        first, second = bench.board.hold("warming up"), bench.board.hold("warming up")
        await asyncio.sleep(25)
        assert bench.readiness().rule is Rule.HOLD
        assert bench.liveness().live
        assert len(engine.canaries) == 3
        bench.board.release(first)
        bench.board.release(first)
        assert bench.readiness().rule is Rule.HOLD
        bench.board.release(second)
        assert bench.readiness().ready


async def test_draining_sends_no_more_canaries_and_is_not_ready() -> None:
    """`/live` stays, however long the last requests take."""
    async with Bench(hang_budget=5) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "hangs"
        await bench.until_not_ready()
        bench.board.drain()
        asked = len(engine.canaries)
        await asyncio.sleep(1000)
        assert len(engine.canaries) == asked
        assert bench.readiness().rule is Rule.DRAINING
        assert bench.liveness().live


async def test_draining_sends_no_canary_that_waits_for_a_place() -> None:
    """A place that becomes free is not taken."""
    async with Bench(canary_concurrency=1) as bench:
        first, second = Engine(), Engine()
        first.latency = 0.5
        await bench.serve(first)
        await bench.serve(second, "demo.backend.other")
        await asyncio.sleep(0.1)
        bench.board.drain()
        await asyncio.sleep(100)
        assert second.canaries == []


async def test_traffic_is_still_told_while_draining() -> None:
    """What is told is folded; only canaries stop."""
    async with Bench(failure_threshold=1) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "raises"
        await bench.until_not_ready()
        bench.board.drain()
        engine.behaviour = "good"
        await read(endpoint.stream({}))
        assert bench.ready()


async def test_stopping_leaves_no_task_and_no_timer() -> None:
    """Whatever was in flight has been cancelled and has ended."""
    bench = Bench()
    bench.manager.start()
    engines = [Engine(behaviour) for behaviour in ("good", "hangs", "raises", "one_then_hangs")]
    for nth, engine in enumerate(engines):
        await bench.serve(engine, f"demo.backend.e{nth}")
    await asyncio.sleep(0.5)
    await bench.manager.stop()
    assert len(asyncio.all_tasks()) == 1
    assert all(engine.in_hand == 0 for engine in engines)
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled")  # noqa: B009
    assert [timer for timer in scheduled if not timer.cancelled()] == []
    await bench.manager.stop()


async def test_stopping_waits_no_longer_than_the_grace_and_names_who_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A handler that swallows cancellations does not hold up the end."""
    bench = Bench(canary_cancel_grace=2)
    bench.manager.start()
    engine = Engine("will_not_end")
    await bench.serve(engine)
    await asyncio.sleep(0.5)
    began = bench.now
    await bench.manager.stop()
    assert bench.now - began == pytest.approx(2, abs=0.01)
    assert "canary demo.backend.generate does not end though it was cancelled" in caplog.messages
    engine.behaviour = "good"
    await asyncio.sleep(1)
    assert len(asyncio.all_tasks()) == 1


async def test_a_manager_can_be_started_again() -> None:
    """And asks whom it is given then."""
    keeper, question = manager(), Question()
    keeper.start()
    one = target(question)
    keeper.add(one)
    await asyncio.sleep(5)
    await keeper.stop()
    await asyncio.sleep(50)
    assert len(question.asked) == 1
    keeper.start()
    keeper.add(one)
    await asyncio.sleep(11)
    assert len(question.asked) == 3
    await keeper.stop()


async def test_a_paused_manager_goes_on_when_it_is_started() -> None:
    """Its targets are kept."""
    keeper, question = manager(), Question()
    keeper.start()
    keeper.add(target(question))
    await asyncio.sleep(5)
    keeper.pause()
    await asyncio.sleep(50)
    assert len(question.asked) == 1
    keeper.start()
    await asyncio.sleep(0.1)
    assert len(question.asked) == 2
    await keeper.stop()


async def test_the_process_wide_status_is_the_owners() -> None:
    """Where no endpoint decides."""
    async with Bench() as bench:
        assert not bench.readiness().ready
        bench.board.set_status(HealthStatus.READY)
        assert bench.readiness().ready
        assert bench.readiness().rule is Rule.PROCESS_STATUS
        await bench.serve(Engine("hangs"))
        assert not bench.readiness().ready
