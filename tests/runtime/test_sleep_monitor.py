"""An engine object that can say that it sleeps: left alone, live, and asked when it wakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from serinus.core.status import Reason
from serinus.runtime.sleep_monitor import SleepMonitor, can_tell
from tests.runtime.benches import Bench
from tests.runtime.engines import Engine


class Sleeper:
    """An engine object as vLLM's."""

    def __init__(self) -> None:
        self.word: object = False
        self.latency = 0.0
        self.asked = 0

    async def is_sleeping(self) -> object:
        """Say it, late or by raising."""
        self.asked += 1
        await asyncio.sleep(self.latency)
        if isinstance(self.word, Exception):
            raise self.word
        return self.word


@asynccontextmanager
async def monitored(bench: Bench, engine: object) -> AsyncIterator[None]:
    """Run a monitor."""
    task = asyncio.create_task(SleepMonitor(engine, slept=bench.board.slept).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_sleeping_engine_is_not_ready_and_live_and_is_asked_when_it_wakes() -> None:
    """Whoever has put it to sleep need not tell us."""
    async with Bench() as bench:
        engine, sleeper = Engine(), Sleeper()
        await bench.serve(engine)
        await bench.until_ready()
        async with monitored(bench, sleeper):
            engine.behaviour, sleeper.word = "hangs", True
            await asyncio.sleep(1000)
            assert bench.reason() is Reason.SLEEPING
            assert bench.liveness().live
            assert len(engine.canaries) == 1
            engine.behaviour, sleeper.word = "good", False
            await asyncio.sleep(1)
            assert bench.ready()
            assert len(engine.canaries) == 2


@pytest.mark.parametrize("word", [None, "yes", 1, RuntimeError("not supported")])
async def test_a_word_that_is_none_changes_nothing(word: object) -> None:
    """It is judged as if it were awake."""
    async with Bench(failure_threshold=1) as bench:
        engine, sleeper = Engine(), Sleeper()
        await bench.serve(engine)
        await bench.until_ready()
        sleeper.word = word
        async with monitored(bench, sleeper):
            engine.behaviour = "hangs"
            await asyncio.sleep(30)
            assert bench.reason() is Reason.CANARY_TIMEOUT
            assert sleeper.asked <= 8  # not at once again


async def test_a_core_that_does_not_answer_is_not_waited_for() -> None:
    """It may be frozen; that it slept when it was heard last stands until it says otherwise."""
    async with Bench() as bench:
        engine, sleeper = Engine(), Sleeper()
        await bench.serve(engine)
        await bench.until_ready()
        sleeper.word = True
        async with monitored(bench, sleeper):
            await asyncio.sleep(2)
            sleeper.latency = 1000
            await asyncio.sleep(60)
            assert bench.reason() is Reason.SLEEPING
            assert sleeper.asked < 20


def test_only_some_can_tell() -> None:
    """A method, not a flag."""
    assert can_tell(Sleeper())
    assert not can_tell(object())


async def test_a_plain_method_is_as_good() -> None:
    """As that of `LLMEngine`."""

    class Plain:
        def is_sleeping(self) -> bool:
            return True

    async with Bench() as bench:
        await bench.serve(Engine())
        await bench.until_ready()
        async with monitored(bench, Plain()):
            await asyncio.sleep(1)
            assert bench.reason() is Reason.SLEEPING
