"""When a page is late."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serinus.core.status import Reason
from serinus.sidecar.punctuality import Punctuality
from tests.sidecar.rig import Rig, over, scripted
from tests.sidecar.test_pages import counted


async def never(_: Any) -> Any:
    """Answer much too late."""
    await asyncio.sleep(600)


async def learned(rig: Rig) -> None:
    """Wait until the engine is proven, and it is known how long its page takes."""
    await rig.until_ready()
    await rig.until(
        lambda: rig.watch.scraper._punctuality.late_after is not None, seconds=2, what="learned"
    )


def test_nothing_is_late_before_it_is_known_how_long_it_takes() -> None:
    """Three readings tell."""
    page = Punctuality()
    for _ in range(3):
        assert page.late_after is None
        page.took(0.01)
    assert page.late_after == 0.5


def test_a_slow_page_is_late_after_four_times_its_longest() -> None:
    """And a quick one not before half a second."""
    page = Punctuality()
    for seconds in (0.1, 2.0, 0.1):
        page.took(seconds)
    assert page.late_after == pytest.approx(8.0, rel=0.05)
    for _ in range(300):
        page.took(0.01)
    assert page.late_after == 0.5


@pytest.mark.real_time
async def test_an_idle_engine_whose_page_is_late_is_asked_at_once() -> None:
    """And found to hang long before its next canary is due."""
    engine = counted()
    async with scripted(engine) as url, over(url, canary_wait_time=600) as rig:
        await learned(rig)
        engine.answers["/metrics"] = engine.answers["/v1/completions"] = never
        await rig.until(lambda: not rig.ready, seconds=6, what="not ready")
        assert rig.reason() is Reason.CANARY_TIMEOUT


@pytest.mark.real_time
async def test_a_page_that_hangs_for_good_brings_one_canary_a_wait_and_no_verdict() -> None:
    """The engine answers: the page is broken, and unknown."""
    engine = counted()
    async with scripted(engine) as url, over(url, canary_wait_time=600) as rig:
        await learned(rig)
        sent = rig.canaries
        engine.answers["/metrics"] = never
        await rig.until(lambda: rig.canaries == sent + 1, seconds=6, what="asked at once")
        await rig.until(lambda: rig.passed == sent + 1, seconds=2, what="passed")
        await rig.holds(lambda: rig.ready and rig.canaries == sent + 1, seconds=3)
        assert "no metrics within" in rig.watch.notes()["metrics"]
