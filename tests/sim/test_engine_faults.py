"""What each fault does to the tokens and to the gauges."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.sim import words
from serinus.sim.faults import Fault, Plan
from serinus.sim.jobs import Finish
from serinus.simulation.virtual_time import VirtualTimeLoop
from tests.sim.rig import SECONDS, running


async def test_a_hang_holds_a_running_request_and_then_lets_it_go_on() -> None:
    """Tokens stop for as long as the hang lasts, and none is lost."""
    async with running() as rig:
        rig.fault("hang@2.5s+10s")
        reading = await rig.ask(tokens=4)
    assert reading.times == [1, 2, 13, 14]


async def test_a_hung_core_does_not_see_a_new_request() -> None:
    """Idle and hung: running 0, waiting 0, and no counter moves, as with a frozen EngineCore."""
    async with running() as rig:
        await asyncio.sleep(1)
        rig.fault("hang+20s")
        asking = asyncio.create_task(rig.ask(tokens=1))
        await asyncio.sleep(15)
        assert (rig.notes.now.running, rig.notes.now.waiting, rig.notes.tokens) == (0, 0, 0)
        assert (rig.engine.unseen, asking.done()) == (1, False)
        assert (await asking).times == [22]


async def test_a_hang_leaves_the_gauges_where_they_stood() -> None:
    """What was running when the core froze is said to run for as long as it is frozen."""
    async with running() as rig:
        rig.fault("hang@1.5s+100s")
        rig.submit(tokens=50)
        await asyncio.sleep(50)
        rig.submit(tokens=50)
        await asyncio.sleep(10)
        assert (rig.notes.now.running, rig.notes.now.waiting, rig.notes.tokens) == (1, 0, 1)


async def test_a_stall_takes_requests_in_and_gives_no_token() -> None:
    """Running and waiting tell of the work, and the counter of tokens stands still."""
    async with running() as rig:
        rig.fault("stall@1.5s+100s")
        for _ in range(2):
            rig.submit(tokens=50)
            await asyncio.sleep(20)
        rig.submit(tokens=50)
        await asyncio.sleep(20)
        assert (rig.notes.now.running, rig.notes.now.waiting, rig.notes.tokens) == (2, 1, 1)
        await asyncio.sleep(50)
        assert rig.notes.tokens > 10


async def test_a_request_to_a_stalled_idle_engine_is_seen() -> None:
    """Unlike a hang, a stall shows the request in the gauges."""
    async with running() as rig:
        rig.fault("stall")
        rig.submit()
        await asyncio.sleep(5)
        assert (rig.notes.now.running, rig.notes.tokens) == (1, 0)


async def test_slow_is_slower_by_its_factor_and_no_longer_than_it_lasts() -> None:
    """A step that a fault has made endless is quick again when the fault ends."""
    async with running() as rig:
        rig.fault("slow=4@1s+8s")
        assert (await rig.ask(tokens=4)).times == [1, 5, 9, 10]
        rig.fault("slow=100000+30s")
        assert (await rig.ask(tokens=1)).times == [pytest.approx(41, abs=0.1)]


async def test_an_error_ends_what_runs_and_what_comes() -> None:
    """Requests under way fail with the next step, new ones with their first."""
    async with running() as rig:
        rig.fault("error@2.5s+3s")
        reading, late = await asyncio.gather(rig.ask(tokens=9), rig.ask(tokens=9))
        assert (reading.times, reading.ends) == ([1, 2], [Finish.ERROR])
        assert late.ends == [Finish.ERROR]
        reading = await rig.ask(tokens=9)
        assert (reading.tokens, reading.ends) == ([], [Finish.ERROR])
        await asyncio.sleep(3)
        assert (await rig.ask(tokens=2)).ends == [Finish.LENGTH]
        assert [each.reason for each in rig.notes.ended] == [*["error"] * 3, "length"]


async def test_empty_ends_without_a_token_and_without_an_error() -> None:
    """The worst of answers: nothing, politely."""
    async with running() as rig:
        rig.fault("empty+5s")
        reading = await rig.ask(tokens=9)
        assert (reading.tokens, reading.ends) == ([], [Finish.STOP])
        assert rig.notes.tokens == 0


async def test_garbage_is_counted_like_any_token() -> None:
    """Only the text tells that the numbers went bad."""
    async with running() as rig:
        rig.fault("garbage")
        reading = await rig.ask(tokens=3)
        assert reading.tokens == [words.GARBAGE] * 3
        assert rig.notes.tokens == 3
        rig.clear()
        assert words.GARBAGE not in (await rig.ask(tokens=3)).tokens


async def test_partial_gives_one_token_and_holds_the_slot() -> None:
    """Each request gets its first token, and the slots fill with those that get no second."""
    async with running() as rig:
        rig.fault("partial@0s+50s")
        readings = [asyncio.create_task(rig.ask(tokens=2)) for _ in range(3)]
        await asyncio.sleep(30)
        assert (rig.notes.tokens, rig.notes.now.running, rig.notes.now.waiting) == (2, 2, 1)
        times = [(await reading).times for reading in readings]
        assert [each[0] for each in times[:2]] == [1, 1]
        assert all(each[1] > 49 for each in times)


async def test_saturate_fills_the_slots_and_keeps_a_queue() -> None:
    """Everything is taken, tokens flow, and a request that comes must wait for long."""
    async with running() as rig:
        rig.fault("saturate")
        await asyncio.sleep(100)
        assert (rig.notes.now.running, rig.notes.now.waiting) == (2, 2)
        assert rig.notes.tokens == pytest.approx(200, abs=4)
        asking = asyncio.create_task(rig.ask(tokens=1))
        await asyncio.sleep(300)
        assert not asking.done()
        assert (await asking).times[0] > 1500
        rig.clear(Fault.SATURATE)
        await asyncio.sleep(2)
        assert (rig.notes.now.running, rig.notes.now.waiting) == (0, 0)


async def test_saturate_begins_on_an_idle_engine_at_its_time() -> None:
    """Time alone starts it: no request has to come by."""
    async with running() as rig:
        rig.fault("saturate=1@10s+10s")
        await asyncio.sleep(9)
        assert rig.engine.running == 0
        await asyncio.sleep(3)
        assert (rig.engine.running, rig.engine.waiting) == (2, 1)
        await asyncio.sleep(10)
        assert (rig.engine.running, rig.engine.waiting) == (0, 0)


async def test_the_deepest_saturation_leaves_no_place_in_the_queue() -> None:
    """With a depth of the whole queue, requests are refused."""
    async with running() as rig:
        rig.fault("saturate=1000")
        await asyncio.sleep(3)
        assert (rig.engine.running, rig.engine.waiting) == (2, 4)


async def test_clearing_ends_a_hang_that_was_for_good() -> None:
    """A fault on demand is off on demand."""
    async with running() as rig:
        rig.fault("hang")
        asking = asyncio.create_task(rig.ask(tokens=1))
        await asyncio.sleep(1000)
        rig.clear(Fault.HANG)
        assert (await asking).times == [1001]


FAULTS = st.lists(
    st.builds(
        Plan,
        st.sampled_from(
            [Fault.HANG, Fault.STALL, Fault.SLOW, Fault.GARBAGE, Fault.PARTIAL, Fault.SATURATE]
        ),
        after=st.floats(0, 60),
        seconds=st.floats(0.001, 60),
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(plans=FAULTS)
def test_when_all_faults_are_over_the_engine_serves_as_before(plans: list[Plan]) -> None:
    """No schedule of passing faults loses a request or a token."""

    async def survive() -> None:
        async with running(replace(SECONDS, queue=50)) as rig, asyncio.timeout(50_000):
            for plan in plans:
                rig.plan(plan)
            readings = await asyncio.gather(*(rig.ask(tokens=6) for _ in range(4)))
            assert [len(reading.tokens) for reading in readings] == [6] * 4
            await asyncio.sleep(200)
            began = rig.now
            last = await rig.ask(tokens=3)
            assert last.times[-1] - began == pytest.approx(3, abs=0.01)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(survive())
