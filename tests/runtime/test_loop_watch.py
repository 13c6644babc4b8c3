"""Is it me? The seconds that our own event loop lost."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from serinus.runtime.loop_watch import LoopWatch, slept
from serinus.simulation.virtual_time import VirtualTimeLoop


def block(seconds: float) -> None:
    """Block the loop, as a long call in a handler does."""
    cast("VirtualTimeLoop", asyncio.get_running_loop()).advance(seconds)


async def test_a_loop_that_runs_loses_nothing() -> None:
    """However long."""
    watch = LoopWatch()
    watch.start()
    await asyncio.sleep(1000)
    assert watch.lost == 0
    watch.stop()


async def test_what_a_block_takes_is_lost() -> None:
    """To the pace of the watch, a tenth of a second."""
    watch = LoopWatch()
    watch.start()
    await asyncio.sleep(1.05)
    block(3)
    await asyncio.sleep(0)
    assert watch.lost == pytest.approx(3, abs=0.1)
    await asyncio.sleep(10)
    assert watch.lost == pytest.approx(3, abs=0.1)
    watch.stop()


async def test_a_block_counts_while_it_goes_on() -> None:
    """Who runs before the watch's own timer sees it too."""
    watch = LoopWatch()
    watch.start()
    await asyncio.sleep(0)
    block(3)
    assert watch.lost == pytest.approx(2.9)
    watch.stop()


async def test_blocks_add_up() -> None:
    """And it never goes back."""
    watch = LoopWatch()
    watch.start()
    seen = [watch.lost]
    for _ in range(3):
        await asyncio.sleep(1)
        block(2)
        seen.append(watch.lost)
        await asyncio.sleep(0.001)
        seen.append(watch.lost)
    assert seen == sorted(seen)
    assert watch.lost == pytest.approx(6, abs=0.4)
    watch.stop()


async def test_tiny_delays_are_left_out() -> None:
    """Every loop is a little late."""
    watch = LoopWatch(ignore=0.05)
    watch.start()
    for _ in range(20):
        await asyncio.sleep(0.1)
        block(0.04)
    assert watch.lost == 0
    watch.stop()


async def test_a_watch_that_is_not_running_lost_nothing_more() -> None:
    """Before its start, and after its stop."""
    watch = LoopWatch()
    assert watch.lost == 0
    watch.start()
    watch.stop()
    watch.stop()
    block(5)
    await asyncio.sleep(1)
    assert watch.lost == 0


async def test_starting_twice_is_starting_once() -> None:
    """One timer, not two."""
    watch = LoopWatch()
    watch.start()
    watch.start()
    await asyncio.sleep(1)
    block(2)
    await asyncio.sleep(0.2)
    assert watch.lost == pytest.approx(2, abs=0.1)
    watch.stop()
    await asyncio.sleep(1)


async def test_a_sleep_of_the_host_is_counted_though_nothing_came_late() -> None:
    """The monotonic clock stands still in a suspended host; an adjusted clock is no sleep."""
    boot = [500.0]
    troubles: list[tuple[float, str]] = []
    watch = LoopWatch(
        slept=lambda: boot[0], trouble=lambda seconds, why: troubles.append((seconds, why))
    )
    assert watch.asleep == 0.0
    watch.start()
    await asyncio.sleep(1)
    boot[0] += 0.5
    await asyncio.sleep(1)
    boot[0] += 60.0
    assert watch.asleep == 60.5
    await asyncio.sleep(1)
    assert (watch.suspensions, watch.suspended, watch.asleep, watch.lost) == (1, 60.5, 60.5, 0.0)
    assert troubles == [(0.0, "the host was suspended for 60.5 s")]
    watch.stop()


async def test_a_long_delay_is_told_and_a_short_one_is_not() -> None:
    """Whoever judges silence has to know of it."""
    loop = cast("VirtualTimeLoop", asyncio.get_running_loop())
    troubles: list[tuple[float, str]] = []
    watch = LoopWatch(trouble=lambda seconds, why: troubles.append((round(seconds, 3), why)))
    watch.start()
    await asyncio.sleep(1.05)
    loop.advance(0.9)
    await asyncio.sleep(1)
    assert troubles == []
    loop.advance(5.0)
    await asyncio.sleep(1)
    assert len(troubles) == 1
    assert 4.9 <= troubles[0][0] <= 5.0
    watch.stop()


def test_this_host_counts_its_sleep() -> None:
    """Linux does; elsewhere it is never any."""
    assert slept() >= 0.0
    assert abs(slept() - slept()) < 0.1
