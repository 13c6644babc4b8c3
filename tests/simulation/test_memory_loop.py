"""The loop of timers alone does what asyncio's own does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from serinus.simulation.memory_loop import MemoryLoop
from serinus.simulation.virtual_time import VirtualTimeLoop


async def _scene(seen: list[tuple[float, str]]) -> str:
    """Tasks, time-outs, cancellations, futures and timers."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    def note(what: str) -> None:
        seen.append((round(loop.time() - began, 6), what))

    async def sleeper(seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            note(f"slept {seconds}")
        except asyncio.CancelledError:
            note(f"cancelled {seconds}")
            raise

    loop.call_later(2.5, note, "timer")
    loop.call_later(2.6, note, "never").cancel()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await sleeper(5)
    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper(1))
        group.create_task(sleeper(0.5))
    event = asyncio.Event()
    loop.call_later(1, event.set)
    await event.wait()
    note("woken")
    return "done"


def test_it_runs_asyncio_as_the_selector_loop_does() -> None:
    """The same things at the same times, in the same order."""
    here: list[tuple[float, str]] = []
    there: list[tuple[float, str]] = []
    loop = MemoryLoop()  # type: ignore[abstract] # sockets and threads are left out on purpose
    assert loop.run_until_complete(_scene(here)) == "done"
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(_scene(there)) == "done"
    assert here == there


def run(main: Callable[[MemoryLoop], Awaitable[None]]) -> None:
    """Run on a new loop."""
    loop = MemoryLoop()  # type: ignore[abstract] # sockets and threads are left out on purpose
    loop.run_until_complete(main(loop))


def test_a_deadlock_and_a_failure_in_a_callback_are_loud() -> None:
    """In a simulation nothing may fail unseen."""

    async def waits(loop: MemoryLoop) -> None:
        await loop.create_future()

    async def fails(loop: MemoryLoop) -> None:
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with pytest.raises(RuntimeError, match="deadlock"):
        run(waits)
    with pytest.raises(ZeroDivisionError):
        run(fails)


def test_a_host_that_sleeps_makes_timers_late() -> None:
    """What was due meanwhile comes when it wakes."""

    async def sleeps(loop: MemoryLoop) -> None:
        began = loop.time()
        loop.call_later(1, loop.suspend, 10)
        await asyncio.sleep(2)
        assert loop.time() - began == pytest.approx(11)

    run(sleeps)
