"""Noticing that an engine is gone, without asking it anything."""

from __future__ import annotations

import asyncio
import time

import pytest

from serinus.core.status import Reason
from serinus.sidecar.connection import Tripwire, connected
from serinus.sidecar.contact import ContactError, Trouble
from serinus.sidecar.place import Place
from tests.sidecar.rig import ScriptedEngine, free_port, over, scripted

pytestmark = pytest.mark.real_time


def place(port: int, host: str = "127.0.0.1") -> Place:
    """A port of this machine."""
    return Place("http", host, port)


async def test_a_closed_port_is_told_from_a_name_that_is_unknown() -> None:
    """One is an engine that is down, the other a typo."""
    with pytest.raises(ContactError) as refused:
        await connected(place(free_port()), seconds=1)
    assert refused.value.trouble is Trouble.REFUSED


async def test_localhost_is_closed_when_all_its_addresses_are() -> None:
    """It has two; asyncio would lump their refusals into an error without a number."""
    with pytest.raises(ContactError) as refused:
        await connected(place(free_port(), "localhost"), seconds=1)
    assert refused.value.trouble is Trouble.REFUSED


async def test_a_tripwire_tells_of_the_end_at_once() -> None:
    """The kernel closes what a process had open, however it dies."""
    engine, tripped = ScriptedEngine(), asyncio.Event()
    async with scripted(engine) as url:
        wire = Tripwire(Place.parse(url), tripped.set)
        await wire.arm(seconds=1)
        assert wire.armed
        assert engine.asked == [], "nothing is ever said on it"
    async with asyncio.timeout(1):
        await tripped.wait()
    assert not wire.armed


async def test_a_tripwire_that_is_taken_down_says_nothing() -> None:
    """Our own end is not the engine's."""
    tripped = asyncio.Event()
    async with scripted(ScriptedEngine()) as url:
        wire = Tripwire(Place.parse(url), tripped.set)
        await wire.arm(seconds=1)
        wire.disarm()
        wire.disarm()
        await asyncio.sleep(0.05)
    assert not tripped.is_set()


async def test_a_server_that_closes_silent_connections_is_not_pestered() -> None:
    """It is met less and less often, and nobody concludes that it is dead."""
    met = 0

    async def impatient(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal met
        met += 1
        writer.close()

    server = await asyncio.start_server(impatient, "127.0.0.1", 0)
    async with server:
        tripped = asyncio.Event()
        wire = Tripwire(place(server.sockets[0].getsockname()[1]), tripped.set)
        for _ in range(3):
            if not wire.rests():
                tripped.clear()
                await wire.arm(seconds=1)
                await tripped.wait()
        assert met == 1
        assert wire.rests()


async def test_one_refusal_is_not_death() -> None:
    """A listener that is replaced refuses for a moment; the second look finds the new one."""
    engine = ScriptedEngine()
    async with scripted(engine) as url, over(url, canary_wait_time=30) as rig:
        await rig.until_ready()
        await rig.watch.presence.lost(ContactError(Trouble.REFUSED, "connection refused"))
        assert rig.ready
        assert rig.live


async def test_a_network_of_ours_that_is_gone_says_nothing_of_the_engine() -> None:
    """Is it me? Then the outcome is unknown."""
    async with scripted(ScriptedEngine()) as url, over(url, canary_wait_time=30) as rig:
        await rig.until_ready()
        await rig.watch.presence.lost(ContactError(Trouble.OURS, "no descriptors"))
        await rig.watch.presence.lost(ContactError(Trouble.UNRESOLVED, "no name server"))
        assert rig.ready
        assert rig.live


async def test_a_restart_between_two_looks_is_a_new_life() -> None:
    """The same port answers again: phases, first token, ready."""
    first, second = ScriptedEngine(), ScriptedEngine()
    second.answers["/v1/models"] = second.models("another")
    port = free_port()
    async with over(f"http://127.0.0.1:{port}", canary_wait_time=30) as rig:
        async with scripted(first, port=port):
            await rig.until_ready()
        await rig.until(lambda: not rig.live, seconds=2, what="not live")
        async with scripted(second, port=port):
            await rig.until_ready(4)
            assert rig.live
            assert rig.watch.notes()["model"] == "another"
            reasons = [change.reason for change in rig.report.history if "vllm" in change.subject]
            assert reasons[-3:] == ["engine_died", "first_token", "canary"]


async def test_one_dead_engine_does_not_disturb_the_others() -> None:
    """Not ready together, as all must be; each with its own verdict and pace."""
    engine = ScriptedEngine()
    async with (
        scripted(engine) as url,
        over(url, f"http://127.0.0.1:{free_port()}") as rig,
    ):
        await rig.until(lambda: rig.standing(0).verdict.ready, seconds=3, what="the first ready")
        await rig.until(lambda: rig.reason(1) is Reason.PORT_CLOSED, seconds=3, what="closed")
        assert not rig.ready
        assert rig.report.readiness.blocking == ("serinus.vllm-2.generate: port_closed",)
        canaries = rig.canaries
        await rig.until(lambda: rig.canaries >= canaries + 2, seconds=3, what="canaries go on")
        assert rig.standing(0).verdict.ready


async def test_a_lease_outlives_a_restart_of_the_engine() -> None:
    """A planned pause is the owner's, and a new life of the engine does not end it."""
    engine, port = ScriptedEngine(), free_port()
    async with over(f"http://127.0.0.1:{port}") as rig:
        async with scripted(engine, port=port):
            await rig.until_ready()
        await rig.until(lambda: not rig.live, seconds=2, what="dead")
        with rig.sidecar.runtime.lease("new weights", seconds=60):
            async with scripted(engine, port=port):
                await rig.until(
                    lambda: rig.reason() is Reason.FIRST_TOKEN, seconds=3, what="a new life"
                )
                assert rig.standing().leased(time.monotonic())
