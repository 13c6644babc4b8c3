"""One canary at a time: its deadline, its end, and a handler that will not end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from serinus.core.evidence import CanaryUnknown, EngineDied, Load
from serinus.core.status import Reason
from serinus.runtime.target import Answer
from tests.runtime.benches import PAYLOAD, Bench, first_of, read
from tests.runtime.engines import TOKEN, Engine
from tests.runtime.targets import RULES, Question, manager, target


@pytest.mark.parametrize("wait", [0.3, 1.0, 10.0])
async def test_at_most_one_is_in_flight_however_slow_it_is(wait: float) -> None:
    """The reference sends one more each wait, on top of those that hang."""
    async with Bench(canary_wait_time=wait) as bench:
        engine = Engine("hangs")
        await bench.serve(engine)
        for _ in range(1000):
            assert bench.manager.in_flight <= 1
            await asyncio.sleep(0.03)
        assert engine.most == 1
        assert engine.in_hand <= 1


async def test_the_whole_stream_is_read_within_the_deadline() -> None:
    """Items that come in time, and an end that does not, are a time-out."""
    async with Bench() as bench:
        engine = Engine()
        engine.items = [TOKEN] * 3
        engine.latency = 0.3
        await bench.serve(engine)
        await asyncio.sleep(0.89)
        assert not bench.ready()
        await asyncio.sleep(0.02)
        assert bench.ready()
        engine.latency = 0.34
        await asyncio.sleep(12.5)
        assert bench.reason() is Reason.CANARY_TIMEOUT


async def test_a_canary_out_of_time_is_cancelled_and_waited_for() -> None:
    """No second before the first handler's cleaning up has ended."""
    ended: list[float] = []
    asked: list[float] = []

    async def tidy(request: Any) -> AsyncIterator[Any]:
        loop = asyncio.get_running_loop()
        asked.append(loop.time())
        try:
            await asyncio.sleep(1e9)
            yield TOKEN
        finally:
            await asyncio.sleep(0.7)
            ended.append(loop.time())

    async with Bench(canary_wait_time=0.5) as bench:
        await bench.endpoint().register(tidy, health_check_payload=PAYLOAD)
        await asyncio.sleep(20)
        took = [round(end - at, 3) for end, at in zip(ended, asked, strict=False)]
        assert took == [1.7] * len(ended)
        assert len(ended) >= 8
        assert all(end <= nxt for end, nxt in zip(ended, asked[1:], strict=False))


async def test_a_handler_that_does_not_end_is_reported_and_gets_no_second_canary(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is stuck: not ready without a second question."""
    async with Bench() as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "will_not_end"
        await asyncio.sleep(300)
        assert len(engine.canaries) == 2
        assert bench.reason() is Reason.CANARY_STUCK
        assert "demo.backend.generate: a canary does not end though it was cancelled" in caplog.text
        (_, (at, why)) = bench.turns()
        assert at == pytest.approx(12.02, abs=0.02)
        assert why == Reason.CANARY_STUCK
        engine.behaviour = "good"
        await asyncio.sleep(2)
        assert bench.ready()
        assert bench.manager.in_flight == 0


async def test_a_stuck_handler_ends_in_liveness_by_its_budget() -> None:
    """A hang that is proven is one, also while no canary can be sent."""
    async with Bench(hang_budget=30) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "will_not_end"
        await asyncio.sleep(41.5)
        assert bench.liveness().live
        await asyncio.sleep(1)
        assert not bench.liveness().live
        engine.behaviour = "good"


async def test_traffic_is_still_judged_while_a_handler_is_stuck() -> None:
    """It makes ready, its stall makes not ready: nobody goes blind."""
    async with Bench(health_check_busy_stall=20) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "will_not_end"
        await bench.until_not_ready()
        engine.towards_users = "one_then_hangs"
        stream = endpoint.stream({})
        await first_of(stream)
        assert bench.ready()
        reader = asyncio.ensure_future(first_of(stream))
        await asyncio.sleep(19)
        assert bench.ready()
        await asyncio.sleep(2)
        assert bench.reason() is Reason.STALLED
        reader.cancel()
        await asyncio.wait([reader])
        engine.behaviour = "good"


async def test_a_stuck_canary_beside_good_traffic_is_the_canarys_fault() -> None:
    """And once the traffic rests, it cannot be proven any more: not ready."""
    async with Bench() as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "will_not_end"
        await asyncio.sleep(10.5)
        assert len(engine.canaries) == 2
        engine.towards_users = "good"
        for _ in range(60):
            await read(endpoint.stream({}))
            await asyncio.sleep(0.5)
            assert bench.ready()
        assert bench.standing().canary_faults == 2
        await asyncio.sleep(25)
        assert len(engine.canaries) == 2
        assert bench.reason() is Reason.CANARY_STUCK
        engine.behaviour = "good"
        await asyncio.sleep(1)
        assert bench.ready()


async def test_a_removed_endpoints_canary_is_cancelled() -> None:
    """And its outcome means nothing to anybody."""
    async with Bench() as bench:
        engine = Engine("hangs")
        endpoint = await bench.serve(engine)
        await asyncio.sleep(0.5)
        standing = bench.standing()
        target_ = bench.target()
        await endpoint.withdraw()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert engine.cancelled == 1
        await asyncio.sleep(100)
        assert target_.standing == standing
        assert bench.manager.in_flight == 0


async def test_a_removed_endpoint_whose_handler_is_stuck_takes_no_place() -> None:
    """With one place for all, the others are asked all the same."""
    async with Bench(canary_concurrency=1) as bench:
        stuck, other = Engine("will_not_end"), Engine()
        endpoint = await bench.serve(stuck)
        await asyncio.sleep(0.5)
        await endpoint.withdraw()
        await bench.serve(other, "demo.backend.other")
        await asyncio.sleep(1.1)
        assert bench.ready("demo.backend.other")
        stuck.behaviour = "good"


async def test_an_endpoint_served_anew_waits_for_no_one() -> None:
    """Its predecessor's stuck canary is not its own."""
    async with Bench() as bench:
        stuck = Engine("will_not_end")
        endpoint = await bench.serve(stuck)
        await asyncio.sleep(3)
        await endpoint.withdraw()
        await bench.serve(Engine())
        await asyncio.sleep(0.1)
        assert bench.ready()
        stuck.behaviour = "good"


async def test_a_stuck_handler_gives_its_place_to_others() -> None:
    """Its endpoint stays not ready, and is asked when it has ended."""
    async with Bench(canary_concurrency=1) as bench:
        stuck, other = Engine("will_not_end"), Engine()
        await bench.serve(stuck)
        await bench.serve(other, "demo.backend.other")
        await asyncio.sleep(1.9)
        assert other.canaries == []
        await asyncio.sleep(30)
        assert len(other.canaries) == 3
        assert bench.ready("demo.backend.other")
        assert bench.manager.in_flight == 1
        stuck.behaviour = "good"
        await asyncio.sleep(1)
        assert bench.ready()


@pytest.mark.parametrize("grace", [0.0, 0.2])
async def test_a_handler_that_ends_when_cancelled_is_not_stuck(grace: float) -> None:
    """Even if it is given no time at all."""
    async with Bench(canary_cancel_grace=grace) as bench:
        await bench.serve(Engine("hangs"))
        await asyncio.sleep(30)
        assert bench.reason() is Reason.CANARY_TIMEOUT


async def test_no_more_are_in_flight_than_may_be() -> None:
    """The others wait their turn, the longest due first, and each waits once."""
    keeper = manager(concurrency=3)
    keeper.start()
    order: list[int] = []
    in_flight = most = 0

    def asker(nth: int) -> Any:
        async def ask() -> Answer:
            nonlocal in_flight, most
            order.append(nth)
            in_flight += 1
            most = max(most, in_flight)
            await asyncio.sleep(0.1)
            in_flight -= 1
            return ()

        return ask

    targets = [target(asker(nth), name=str(nth)) for nth in range(10)]
    for one in targets:
        keeper.add(one)
    await asyncio.sleep(0.05)
    for _ in range(5):
        for one in targets:
            keeper.tell(one, Load(asyncio.get_running_loop().time(), 0))
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.6)
    assert most == 3
    assert order == list(range(10))
    await keeper.stop()


async def test_one_that_waits_for_a_place_can_leave() -> None:
    """And is not asked when a place is free."""
    keeper = manager(concurrency=1)
    keeper.start()
    first, second = Question(latency=0.5), Question()
    leaving = target(second, name="leaving")
    keeper.add(target(first))
    keeper.add(leaving)
    await asyncio.sleep(0.1)
    keeper.remove(leaving)
    await asyncio.sleep(20)
    assert second.asked == []
    await keeper.stop()


async def test_work_that_comes_while_waiting_for_a_place_makes_the_canary_needless() -> None:
    """It is looked at again before it is sent."""
    keeper = manager(concurrency=1)
    keeper.start()
    now = asyncio.get_running_loop().time
    pending = 0
    first, second = Question(latency=0.5), Question()
    keeper.add(target(first))
    keeper.add(target(second, look=lambda at: (Load(at, pending),)))
    await asyncio.sleep(0.1)
    pending = 1
    await asyncio.sleep(1)
    assert second.asked == []
    assert now() > 0
    await keeper.stop()


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        ((), 20),
        ((Load(0.0, 0),), 20),
        ((Load(0.0, None),), 20),
        ((Load(0.0, 2),), 2),
        ((EngineDied(0.0, "gone"),), 20),
    ],
    ids=["nothing", "idle", "unknown", "busy", "dead"],
)
async def test_asking_that_brings_no_outcome_is_paced_too(answer: Answer, asked: int) -> None:
    """Whatever it brings instead, nobody is asked in a tight loop."""
    keeper, question = manager(), Question()
    keeper.start()
    question.answer = lambda _sent, now: tuple(e._replace(at=now) for e in answer)
    keeper.add(target(question))
    await asyncio.sleep(20)
    assert len(question.asked) == pytest.approx(asked, abs=1)
    await keeper.stop()


async def test_no_canary_is_counted_where_none_went_out() -> None:
    """Outcomes are counted by their kind."""
    keeper, question = manager(), Question()
    keeper.start()
    one = target(question)
    question.answer = lambda _sent, now: (Load(now, 1),)
    keeper.add(one)
    await asyncio.sleep(1)
    counts = one.counts
    assert (counts.sent, counts.passed, counts.failed, counts.unknown) == (0, 0, 0, 0)
    await keeper.stop()


async def test_outcomes_are_counted_by_their_kind() -> None:
    """Sent is their sum, and the seconds are those of good ones."""
    keeper, question = manager(), Question(latency=0.25)
    keeper.start()
    one = target(question, rules=RULES._replace(wait=1))
    keeper.add(one)
    await asyncio.sleep(2.6)
    question.good = False
    await asyncio.sleep(1.5)
    question.answer = lambda _sent, now: (CanaryUnknown(now, "called off"),)
    await asyncio.sleep(1.2)
    counts = one.counts
    outcomes = counts.passed + counts.failed + counts.unknown
    assert counts.sent == outcomes + keeper.in_flight
    assert counts.passed == 2
    assert counts.seconds == pytest.approx(0.5)
    assert counts.failed >= 1
    assert counts.unknown >= 1
    await keeper.stop()


async def test_an_answer_that_is_no_evidence_is_reported_and_paced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A mistake in a custom question does not take the loop."""
    keeper, question = manager(), Question()
    keeper.start()
    question.answer = lambda _sent, _now: ("fine",)  # type: ignore[assignment, return-value]
    keeper.add(target(question))
    await asyncio.sleep(20)
    assert len(question.asked) == pytest.approx(20, abs=1)
    assert "t: an outcome cannot be told" in caplog.text
    await keeper.stop()


async def test_an_error_that_is_no_exception_is_a_failed_canary_too() -> None:
    """Groups of cancellations escape `except Exception`."""

    async def ask() -> Answer:
        raise BaseExceptionGroup("several", [asyncio.CancelledError()])

    keeper = manager()
    keeper.start()
    one = target(ask)
    keeper.add(one)
    await asyncio.sleep(0.1)
    assert one.standing.fault is not None
    assert one.standing.fault.detail.startswith("BaseExceptionGroup: several")
    await keeper.stop()
