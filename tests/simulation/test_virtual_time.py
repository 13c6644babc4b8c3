"""The loop that the other tests trust."""

from __future__ import annotations

import asyncio
import time

import pytest


async def test_an_hour_passes_at_once() -> None:
    """Waiting is free in virtual time."""
    loop, began = asyncio.get_running_loop(), time.monotonic()
    before = loop.time()
    await asyncio.sleep(3600)
    assert loop.time() - before == pytest.approx(3600)
    assert time.monotonic() - began < 5


async def test_deadlines_fire_in_order() -> None:
    """Two sleepers wake in the order of their deadlines, not of their start."""
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper("late", 2))
        group.create_task(sleeper("early", 1))
    assert woken == ["early", "late"]


@pytest.mark.real_time
async def test_a_marked_test_runs_in_real_time() -> None:
    """The mark gives the real loop back."""
    assert type(asyncio.get_running_loop()).__name__ != "VirtualTimeLoop"
