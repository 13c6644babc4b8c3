"""Which faults are seen, how soon, and how soon is their end seen: each row of the table."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from serinus.core.status import Reason
from tests.runtime.benches import Bench, first_of, read
from tests.runtime.engines import TOKEN, Engine

FAULTS = {
    "hangs": Reason.CANARY_TIMEOUT,
    "raises": Reason.CANARY_RAISED,
    "cancels_itself": Reason.CANARY_RAISED,
    "yields_nothing": Reason.CANARY_EMPTY,
    "one_then_hangs": Reason.CANARY_TIMEOUT,
    "one_then_raises": Reason.CANARY_RAISED,
    "dies": Reason.ENGINE_DIED,
}
BAD_ITEMS: dict[str, object] = {
    "an error": {"error": "x"},
    "an error finish reason": {"token_ids": [], "finish_reason": {"error": "x"}},
    "an error event": {"event": "error"},
    "an error in a choice": {"choices": [{"finish_reason": "error"}]},
}
SLACK = 0.1
"""Seconds that the scheduler may take beside the waits that are asked for."""


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("fault", "reason"), FAULTS.items())
@pytest.mark.parametrize("threshold", [1, 2, 3])
async def test_a_fault_is_seen_within_the_wait_and_the_deadlines(
    fault: str, reason: Reason, threshold: int, seed: int
) -> None:
    """At the latest: one wait, and a deadline for each canary that is needed."""
    dice = Random(seed)
    wait, deadline = dice.uniform(0.2, 20), dice.uniform(0.1, 5)
    async with Bench(
        seed,
        canary_wait_time=wait,
        health_check_request_timeout=deadline,
        failure_threshold=threshold,
        canary_jitter=0.1,
        canary_cancel_grace=0.5,
    ) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        await asyncio.sleep(dice.uniform(0, 3 * wait))
        engine.behaviour = fault
        limit = wait + threshold * deadline + SLACK
        took = await bench.until_not_ready(within=limit)
        assert took <= limit
        assert bench.reason() is reason
        engine.behaviour = "good"
        back = await _until_ready_again(bench)
        assert back <= min(wait, deadline) + deadline + SLACK
        assert bench.reason() is Reason.CANARY


@pytest.mark.parametrize("threshold", [1, 2, 3])
async def test_a_handler_that_will_not_end_is_seen_without_a_second_question(
    threshold: int,
) -> None:
    """At the latest a wait, a deadline and the grace after it began."""
    async with Bench(failure_threshold=threshold, canary_cancel_grace=0.5) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "will_not_end"
        await bench.until_not_ready(within=10 + 1 + 0.5 + SLACK)
        assert bench.reason() is (Reason.CANARY_TIMEOUT if threshold == 1 else Reason.CANARY_STUCK)
        engine.behaviour = "good"
        assert await _until_ready_again(bench) <= 1 + 0.5 + 1 + SLACK


async def _until_ready_again(bench: Bench) -> float:
    began = bench.now
    await bench.until_ready()
    return bench.now - began


@pytest.mark.parametrize("bad", BAD_ITEMS.values(), ids=BAD_ITEMS.keys())
@pytest.mark.parametrize("before", [[], [TOKEN]], ids=["alone", "after a token"])
async def test_error_shaped_items_are_seen(bad: object, before: list[object]) -> None:
    """The reference never sees them."""
    async with Bench() as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.items = [*before, bad]
        await bench.until_not_ready(within=10.2)
        assert bench.reason() is Reason.CANARY_ERROR
        engine.items = [TOKEN]
        await bench.until_ready(within=1.1)


async def test_slower_than_the_deadline_is_a_time_out() -> None:
    """1.2 s to the first item, with a deadline of 1 s."""
    async with Bench() as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.latency = 1.2
        await bench.until_not_ready(within=12.1)
        assert bench.reason() is Reason.CANARY_TIMEOUT
        engine.latency = 0.9
        await bench.until_ready(within=3)


async def test_one_bad_canary_among_good_ones_turns_nothing() -> None:
    """It is asked again at once; the reference shows a 503 for a second."""
    async with Bench() as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        for _ in range(20):
            engine.behaviour = "raises"
            await asyncio.sleep(9.99 if len(engine.canaries) == 1 else 0)
            while engine.behaviour == "raises":
                before = len(engine.canaries)
                await asyncio.sleep(0.011)
                if len(engine.canaries) > before or bench.standing().failures:
                    engine.behaviour = "good"
            await asyncio.sleep(1)
            assert bench.ready()
        assert len(bench.turns()) == 1


async def test_an_engine_that_never_served_is_asked_on_and_stays_live() -> None:
    """Loading may take hours; it is ready within a retry of the end of it."""
    async with Bench(health_check_request_timeout=3.0) as bench:
        engine = Engine("hangs")
        await bench.serve(engine)
        await asyncio.sleep(7200)
        assert bench.reason() is Reason.CANARY_TIMEOUT
        assert bench.liveness().live
        engine.behaviour = "good"
        assert await _until_ready_again(bench) <= 6.1


async def test_a_hang_is_fatal_after_its_budget_and_not_before() -> None:
    """From the moment when it was proven."""
    async with Bench(hang_budget=30) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "hangs"
        await bench.until_not_ready()
        await asyncio.sleep(29.9)
        assert bench.liveness().live
        await asyncio.sleep(0.2)
        assert not bench.liveness().live
        engine.behaviour = "good"
        await bench.until_ready(within=2.1)
        assert bench.liveness().live


async def test_a_users_failed_request_is_asked_about_at_once() -> None:
    """And not a wait later: two canaries, each as fast as it fails."""
    async with Bench() as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await asyncio.sleep(5)
        engine.behaviour = "raises"
        with pytest.raises(RuntimeError):
            await read(endpoint.stream({}))
        await asyncio.sleep(0.03)
        assert not bench.ready()
        assert len(engine.canaries) == 3


async def test_many_failed_requests_are_one_suspicion() -> None:
    """Until it has been asked about."""
    async with Bench() as bench:
        engine = Engine()
        engine.towards_users = "raises"
        endpoint = await bench.serve(engine)
        await asyncio.sleep(0.5)
        streams = [endpoint.stream({}) for _ in range(100)]
        await asyncio.gather(*map(read, streams), return_exceptions=True)
        await asyncio.sleep(5)
        assert len(engine.canaries) == 2
        assert bench.ready()
        assert not bench.standing().suspected


async def test_bad_requests_of_users_are_not_asked_about() -> None:
    """A ValueError is the user's own."""
    async with Bench() as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await asyncio.sleep(5)
        engine.towards_users = "refuses"
        for _ in range(50):
            with pytest.raises(ValueError, match="max_tokens"):
                await read(endpoint.stream({}))
        await asyncio.sleep(1)
        assert len(engine.canaries) == 1
        assert bench.ready()


async def test_good_traffic_after_a_failure_makes_ready_at_once() -> None:
    """With its first chunk, and no canary is needed."""
    async with Bench(failure_threshold=1) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "hangs"
        await bench.until_not_ready()
        await asyncio.sleep(1.5)
        engine.behaviour = "good"
        asked = len(engine.canaries)
        await first_of(endpoint.stream({}))
        assert bench.ready()
        assert bench.reason() is Reason.TRAFFIC
        assert len(engine.canaries) == asked


async def test_traffic_can_be_the_first_proof() -> None:
    """A user's chunk is as good as a canary's token."""
    async with Bench() as bench:
        engine = Engine()
        engine.latency = 0.3
        endpoint = await bench.serve(engine)
        await asyncio.sleep(0.0)
        engine.latency = 0.1
        await first_of(endpoint.stream({}))
        assert bench.ready()
        assert bench.reason() is Reason.TRAFFIC


async def test_an_engines_death_is_taken_back_by_its_next_good_canary() -> None:
    """Asked at the pace of retries meanwhile."""
    async with Bench() as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "dies"
        await bench.until_not_ready()
        assert bench.reason() is Reason.ENGINE_DIED
        assert not bench.liveness().live
        engine.behaviour = "good"
        await bench.until_ready(within=1.2)
        assert bench.liveness().live


async def test_two_components_with_one_endpoint_name_are_judged_apart() -> None:
    """The reference lets them share one status, and misses the hang."""
    async with Bench() as bench:
        good, bad = Engine(), Engine("hangs")
        await bench.serve(good, "demo.prefill.generate")
        await bench.serve(bad, "demo.decode.generate")
        await asyncio.sleep(30)
        assert bench.ready("demo.prefill.generate")
        assert not bench.ready("demo.decode.generate")
        assert (len(good.canaries), good.cancelled) == (3, 0)
        assert bad.cancelled > 0
