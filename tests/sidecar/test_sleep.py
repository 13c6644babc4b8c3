"""An engine that its owner puts to sleep: seen, left alone, and asked when it wakes."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientSession

from serinus.core.status import Reason
from serinus.sidecar import sleep
from serinus.sim.options import SimOptions
from serinus.sim.server import Simulator
from tests.sidecar.rig import Rig, over, over_sim

pytestmark = pytest.mark.real_time


async def post(url: str, path: str) -> None:
    """Ask the engine to do something."""
    async with ClientSession() as session, session.post(url + path) as answer:
        assert answer.status == 200


async def asleep(rig: Rig) -> None:
    """Wait until it is seen."""
    await rig.until(lambda: rig.reason() is Reason.SLEEPING, seconds=20, what="sleeping")


@pytest.mark.parametrize("level", [0, 1, 2])
async def test_a_sleeping_engine_is_left_alone_and_asked_when_it_wakes(level: int) -> None:
    """Not ready, live for as long as it sleeps, and no canary meanwhile."""
    async with over_sim() as rig:
        engine = rig.sim
        await post(engine.url, f"/sleep?level={level}")
        await asleep(rig)
        sent, passed = rig.canaries, rig.passed
        await rig.holds(lambda: rig.live and not rig.ready, seconds=2.0)
        assert rig.canaries <= sent
        assert rig.passed == passed
        assert rig.reason() is Reason.SLEEPING
        await post(engine.url, "/wake_up")
        await rig.until_ready(20)
        assert rig.passed > passed


async def test_a_request_that_waits_for_the_waking_is_no_stall() -> None:
    """Its silence is that of the sleep."""
    async with over_sim() as rig:
        engine = rig.sim
        await post(engine.url, "/sleep?level=1&mode=keep")
        await asleep(rig)

        async def ask() -> int:
            body = {"prompt": [1], "max_tokens": 1}
            async with (
                ClientSession() as session,
                session.post(f"{engine.url}/v1/completions", json=body) as answer,
            ):
                return answer.status

        waiting = asyncio.create_task(ask())
        await rig.holds(lambda: rig.reason() is Reason.SLEEPING, seconds=2.0)
        await post(engine.url, "/wake_up")
        async with asyncio.timeout(30):
            assert await waiting == 200
        await rig.until_ready(20)


async def test_an_engine_that_sleeps_from_the_start_is_known_to() -> None:
    """It has brought no token yet, and lists its model."""
    async with Simulator(SimOptions(port=0)) as engine:
        await post(engine.url, "/sleep")
        async with over(engine.url) as rig:
            await asleep(rig)
            assert rig.passed == 0
            await post(engine.url, "/wake_up")
            await rig.until_ready(20)


async def test_the_route_is_believed_where_the_page_does_not_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pause is no sleep, and vLLM's page does not tell of it."""
    monkeypatch.setattr(sleep.SleepWatch, "read", lambda *_args, **_words: None)
    async with over_sim() as rig:
        engine = rig.sim
        await post(engine.url, "/sleep?level=0")
        await asleep(rig)
        await rig.holds(lambda: rig.live, seconds=1.0)
        await post(engine.url, "/wake_up")
        await rig.until_ready(20)
