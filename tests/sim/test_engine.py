"""Batching in time: slots, queue, steps, prompts."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serinus.sim.engine import Pace, QueueFullError
from serinus.sim.jobs import Finish, Order
from serinus.simulation.virtual_time import VirtualTimeLoop
from tests.sim.rig import SECONDS, Rig, running


async def test_every_step_gives_a_token_to_each_running_sequence() -> None:
    """Sequences in slots advance together."""
    async with running() as rig:
        first, second = await asyncio.gather(rig.ask(tokens=3), rig.ask(tokens=2))
    assert first.times == [1, 2, 3]
    assert second.times == [1, 2]


async def test_a_sequence_without_a_slot_waits_for_one() -> None:
    """The third of two slots begins when the first ends."""
    async with running() as rig:
        readings = await asyncio.gather(
            rig.ask(tokens=2), rig.ask(tokens=5), rig.ask(tokens=1), rig.ask(tokens=1)
        )
    assert [reading.times[0] for reading in readings] == [1, 1, 3, 4]


async def test_reading_a_prompt_takes_time_for_each_token() -> None:
    """A prompt of 500 tokens at 10 ms is 5 s before the step's own second."""
    async with running(replace(SECONDS, prefill_seconds=0.01)) as rig:
        assert (await rig.ask(prompt=500, tokens=2)).times == [6, 7]


async def test_a_long_prompt_is_read_in_parts_while_others_go_on() -> None:
    """A prompt above the batch's tokens does not keep a running answer from its tokens."""
    async with running(replace(SECONDS, batch_tokens=100)) as rig:
        short, long = await asyncio.gather(rig.ask(tokens=4), rig.ask(prompt=299, tokens=1))
    assert short.times == [1, 2, 3, 4]
    assert long.times == [3]


async def test_an_answer_ends_by_itself_unless_told_otherwise() -> None:
    """Without `ignore_eos` an answer stops at the engine's own length."""
    async with running() as rig:
        stopped = await rig.ask(tokens=100, ignore_eos=False)
        cut = await rig.ask(tokens=7, ignore_eos=True)
    assert (len(stopped.tokens), stopped.ends) == (5, [Finish.STOP])
    assert (len(cut.tokens), cut.ends) == (7, [Finish.LENGTH])


async def test_the_same_prompt_gets_the_same_answer() -> None:
    """A known answer can be checked."""
    async with running() as rig:
        assert (await rig.ask(tokens=4)).tokens == (await rig.ask(tokens=4)).tokens


async def test_a_full_queue_refuses_and_counts_it() -> None:
    """Two slots and a queue of four take six sequences."""
    async with running() as rig:
        jobs = [rig.submit() for _ in range(6)]
        with pytest.raises(QueueFullError, match=r"6 sequences are in 2 slots and a queue of 4"):
            rig.submit()
        assert rig.notes.refusals == 1
        for job in jobs:
            assert (await rig.read(job)).ends == [Finish.LENGTH]
        rig.submit()


async def test_a_request_for_more_than_fits_is_refused_whole() -> None:
    """No sequence of a refused request stays behind."""
    async with running() as rig:
        with pytest.raises(QueueFullError):
            rig.engine.submit([Order((1,), 1)] * 7)
        assert rig.engine.unseen == 0


async def test_an_abort_frees_the_slot_at_once() -> None:
    """Who waits behind an aborted sequence gets its slot with the next step."""
    async with running() as rig:
        abandoned = [rig.submit(tokens=1000), rig.submit(tokens=1000)]
        waiting = asyncio.create_task(rig.ask(tokens=1))
        await asyncio.sleep(10)
        for job in abandoned:
            rig.engine.abort(job)
        reading = await waiting
        assert reading.times[0] <= 12
        assert (await rig.read(abandoned[0])).ends == [Finish.ABORT]


async def test_an_aborted_sequence_leaves_no_trace_in_the_gauges() -> None:
    """When the last sequence is aborted, nothing runs any more, and nothing finished."""
    async with running() as rig:
        job = rig.submit(tokens=1000)
        await asyncio.sleep(3.5)
        assert rig.notes.now.running == 1
        rig.engine.abort(job)
        await asyncio.sleep(1)
        assert (rig.notes.now.running, rig.notes.now.waiting) == (0, 0)
        assert rig.notes.ended == []


async def test_the_observer_hears_of_work_as_it_happens() -> None:
    """Counters move in the middle of a request; durations come with its end."""
    async with running() as rig:
        jobs = [rig.submit(prompt=10, tokens=4) for _ in range(3)]
        await asyncio.sleep(2.5)
        assert (rig.notes.now.running, rig.notes.now.waiting) == (2, 1)
        assert rig.notes.tokens == 4
        for job in jobs:
            await rig.read(job)
        await asyncio.sleep(0.1)
        late = max(rig.notes.ended, key=lambda each: each.queued)
        assert (late.queued, late.prefill, late.decode, late.total) == pytest.approx((4, 1, 3, 8))
        assert sum(step.prompt_tokens for step in rig.notes.steps) == 30
        firsts = [seconds for step in rig.notes.steps for seconds in step.first_tokens]
        assert firsts == pytest.approx([1, 1, 5])
        assert rig.notes.now.running == 0


async def test_a_slow_reader_gets_several_tokens_at_once() -> None:
    """Tokens gather while nobody looks; none is lost."""
    async with running() as rig:
        job = rig.submit(tokens=5)
        await asyncio.sleep(3.5)
        deliveries = [delivery async for delivery in job.deliveries()]
    assert [len(delivery.tokens) for delivery in deliveries] == [3, 1, 1]


REQUESTS = st.lists(
    st.tuples(
        st.floats(0, 20),  # seconds between arrivals
        st.integers(1, 300),  # prompt
        st.integers(1, 40),  # answer
        st.none() | st.floats(0, 30),  # seconds to the client's patience
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests=REQUESTS, slots=st.integers(1, 4))
def test_whatever_comes_every_sequence_ends_and_every_slot_is_given_back(
    requests: list[tuple[float, int, int, float | None]], slots: int
) -> None:
    """No order of arrivals and departures loses a token, a slot or a sequence."""
    pace = Pace(slots=slots, queue=20, step_seconds=0.5, prefill_seconds=0.01, batch_tokens=64)

    async def one(rig: Rig, prompt: int, tokens: int, patience: float | None) -> None:
        job = rig.submit(prompt=prompt, tokens=tokens)
        try:
            async with asyncio.timeout(patience):
                reading = await rig.read(job)
            assert (len(reading.tokens), reading.ends) == (tokens, [Finish.LENGTH])
        except TimeoutError:
            rig.engine.abort(job)

    async def all_of_them() -> None:
        async with running(pace) as rig, asyncio.timeout(10_000):
            async with asyncio.TaskGroup() as group:
                for gap, prompt, tokens, patience in requests:
                    await asyncio.sleep(gap)
                    group.create_task(one(rig, prompt, tokens, patience))
            await asyncio.sleep(5)
            assert rig.engine.running == rig.engine.waiting == rig.engine.unseen == 0
            assert rig.notes.now.running == rig.notes.now.waiting == 0
            assert max(step.running for step in rig.notes.steps) <= slots

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(all_of_them())
