"""Deadlines that follow the machine, from the handler to the verdict, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from serinus.core.marker import is_health_check
from serinus.core.status import Reason
from tests.runtime.benches import ADDRESS, PAYLOAD, Bench, read

TOKEN = {"token_ids": [1]}


class Model:
    """Streams tokens at a pace; can stand still, for everybody or for users alone."""

    def __init__(self) -> None:
        self.pace = 0.05
        self.canary_seconds = 0.02
        self.running = asyncio.Event()
        self.running.set()
        self.answers_canaries = True
        self.on_top = 0

    async def generate(self, request: Any) -> AsyncIterator[Any]:
        """Answer with as many tokens as are wanted."""
        if is_health_check(request):
            self.on_top += not self.running.is_set()
            if not self.answers_canaries:
                await self.running.wait()
            await asyncio.sleep(self.canary_seconds)
            yield TOKEN
            return
        for _ in range(request):
            await asyncio.sleep(self.pace)
            await self.running.wait()
            yield TOKEN

    def hang(self) -> None:
        """Answer nobody."""
        self.running.clear()
        self.answers_canaries = False

    def thaw(self) -> None:
        """Go on."""
        self.running.set()
        self.answers_canaries = True


async def grown(bench: Bench, model: Model, *, wait: float = 400) -> asyncio.Task[Any]:
    """Serve a model until its idle and its busy times are known; a stream goes on after it."""
    endpoint = bench.endpoint()
    await endpoint.register(model.generate, health_check_payload=PAYLOAD)
    await asyncio.sleep(wait)
    task = asyncio.create_task(read(endpoint.stream(200_000)))
    await asyncio.sleep(1200)
    return task


async def ended(task: asyncio.Task[Any]) -> None:
    """Give a stream up."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_hang_while_busy_is_seen_in_seconds() -> None:
    """At default budgets: the doubt of 1 s, then a canary on top that stays silent for 1 s."""
    async with Bench(health_check_request_timeout=3) as bench:
        model = Model()
        task = await grown(bench, model)
        assert bench.target().rules.doubt == pytest.approx(1.0)
        assert bench.target().rules.deadline == pytest.approx(0.5)
        model.hang()
        assert await bench.until_not_ready(within=6) <= 2.2
        assert bench.reason() is Reason.STALLED
        assert bench.liveness().live
        model.thaw()
        await bench.until_ready(within=1)
        await ended(task)


async def test_a_hang_while_idle_is_seen_within_the_wait_and_a_second() -> None:
    """Two questions of half a second each."""
    async with Bench(health_check_request_timeout=3) as bench:
        model = Model()
        await bench.endpoint().register(model.generate, health_check_payload=PAYLOAD)
        await asyncio.sleep(400)
        model.hang()
        assert await bench.until_not_ready(within=20) <= 10 + 1.1


async def test_users_work_that_stands_still_beside_an_engine_that_answers_is_given_time() -> None:
    """A long prefill: the canary on top is answered, and asked again no sooner than the wait."""
    async with Bench(health_check_request_timeout=3) as bench:
        model = Model()
        task = await grown(bench, model)
        model.running.clear()
        await asyncio.sleep(45)
        assert bench.ready()
        assert 3 <= model.on_top <= 5
        model.running.set()
        await asyncio.sleep(30)
        assert bench.ready()
        assert bench.target().rules.doubt == pytest.approx(1.0)  # no need to learn from it
        await ended(task)


async def test_the_stall_budget_stays_the_hard_limit() -> None:
    """Work that never goes on, though canaries are answered, is stalled when it is over."""
    async with Bench(health_check_request_timeout=3, health_check_busy_stall=60) as bench:
        model = Model()
        task = await grown(bench, model)
        model.running.clear()
        took = await bench.until_not_ready(within=75)
        assert took == pytest.approx(60, abs=1)
        assert bench.reason() is Reason.STALLED
        await ended(task)


async def test_switched_off_nothing_is_learned() -> None:
    """The configured budgets hold for good."""
    async with Bench(health_check_request_timeout=3, adaptive=False) as bench:
        model = Model()
        task = await grown(bench, model)
        assert bench.target().rules == bench.target().configured
        model.hang()
        assert await bench.until_not_ready(within=75) == pytest.approx(60, abs=1)
        await ended(task)


async def test_a_custom_check_is_asked_by_its_own_numbers() -> None:
    """Nothing is learned of what is no engine."""
    async with Bench() as bench:

        async def check() -> bool:
            await asyncio.sleep(0.01)
            return True

        await bench.endpoint().register(Model().generate, health_check_payload=PAYLOAD)
        bench.endpoint().add_check("disk", check, interval=1, timeout=5)
        await asyncio.sleep(100)
        (watched,) = bench.board.endpoints.values()
        assert watched.checks[0].rules.deadline == 5
        assert str(watched.address) == ADDRESS
