"""Several engines that fall silent at the same moment, over real sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web

from serinus.core.status import Reason
from serinus.sidecar.watch import EngineWatch
from tests.sidecar.rig import NOTICED, WAIT, Rig, ScriptedEngine, over, scripted

pytestmark = pytest.mark.real_time

EXCUSE = 3.0
FOUND = EXCUSE + 3 * NOTICED
"""Seconds within which a common death must be found, on a machine that is busy."""


class Mute(ScriptedEngine):
    """An engine that can fall silent on every route, as a host does whose network is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.voice = asyncio.Event()
        self.voice.set()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer, when there is a voice."""
        await self.voice.wait()
        return await super().__call__(request)


@asynccontextmanager
async def two(*, local: bool = True) -> AsyncIterator[tuple[Rig, Mute, Mute]]:
    """Two engines under one sidecar; `local` false: they count as engines of other hosts."""
    first, second = Mute(), Mute()
    async with (
        scripted(first) as one,
        scripted(second) as other,
        over(one, other, excuse_budget=EXCUSE) as rig,
    ):
        for watch in rig.sidecar.watches:
            assert isinstance(watch, EngineWatch)
            watch._line.local = local
        try:
            await rig.until_ready()
            yield rig, first, second
        finally:
            for engine in (first, second):
                engine.voice.set()


async def test_one_that_falls_silent_alone_is_found_as_fast_as_ever() -> None:
    """The other one answers: it is not our network."""
    async with two() as (rig, first, _):
        first.voice.clear()
        await rig.until(lambda: not rig.ready, seconds=NOTICED + 2 * WAIT, what="not ready")
        assert rig.reason(0) is Reason.CANARY_TIMEOUT
        assert rig.reason(1) is Reason.CANARY


async def test_both_at_once_on_this_machine_are_excused_and_then_found(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It may be us; and a common death is found all the same, later by the budget."""
    caplog.set_level(logging.WARNING, "serinus")
    async with two() as (rig, first, second):
        first.voice.clear()
        second.voice.clear()
        await rig.until(lambda: rig.report.own.outage is not None, seconds=NOTICED, what="seen")
        outage = rig.report.own.outage
        assert outage is not None
        assert outage.targets == 2
        assert rig.ready
        assert "serinus_engines_lost_at_once 2" in rig.sidecar.runtime.metrics().decode()
        took = await rig.until(
            lambda: Reason.CANARY_TIMEOUT in {rig.reason(0), rig.reason(1)},
            seconds=FOUND,
            what="accused",
        )
        assert took >= EXCUSE / 2
        assert rig.report.own.excused
        assert "all 2 engines were lost at once" in caplog.text


async def test_both_at_once_on_other_hosts_are_blind_and_no_restart_is_asked_for() -> None:
    """Whoever hears nobody cannot say that they serve, nor that they do not."""
    async with two(local=False) as (rig, first, second):
        first.voice.clear()
        second.voice.clear()
        await rig.until(
            lambda: {rig.reason(0), rig.reason(1)} == {Reason.BLIND}, seconds=FOUND, what="blind"
        )
        await rig.holds(lambda: rig.live and not rig.ready, seconds=1.5)
        first.voice.set()
        await rig.until(
            lambda: rig.reason(0) is Reason.CANARY and rig.reason(1) is Reason.CANARY_TIMEOUT,
            seconds=FOUND,
            what="told apart, when the first one is heard again",
        )


async def test_ports_that_close_at_once_are_deaths_at_once() -> None:
    """A refused connection is proof, however many of them there are."""
    async with AsyncExitStack() as engines:
        urls = [await engines.enter_async_context(scripted(ScriptedEngine())) for _ in range(2)]
        async with over(*urls, excuse_budget=60.0) as rig:
            await rig.until_ready()
            await engines.aclose()
            await rig.until(
                lambda: rig.reason(0) is rig.reason(1) is Reason.ENGINE_DIED,
                seconds=NOTICED + 2 * WAIT,
                what="both dead",
            )
            assert not rig.live
