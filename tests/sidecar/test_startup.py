"""What is said of an engine that is not there yet."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from serinus.core.evidence import Phase
from serinus.core.status import Reason
from serinus.sim.loading import LoadShape
from tests.sidecar.rig import ScriptedEngine, free_port, over, over_sim, scripted

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize(
    ("shape", "seen"),
    [
        (LoadShape.CLOSED, {Reason.PORT_CLOSED}),
        (LoadShape.EMPTY, {Reason.NO_MODEL}),
        (LoadShape.STAGED, {Reason.PORT_CLOSED, Reason.NO_MODEL}),
    ],
)
async def test_the_phase_is_the_reason(shape: LoadShape, seen: set[Reason]) -> None:
    """Live and not ready from the first moment; ready within a knock after loading."""
    reasons = set()
    async with over_sim(load_seconds=2.5, load_shape=shape) as rig:
        await rig.until(lambda: rig.reason() is not Reason.UNPROVEN, seconds=10, what="a phase")

        def watching() -> bool:
            if not rig.ready:
                reasons.add(rig.reason())
                assert rig.live
            return rig.ready

        await rig.until(watching, seconds=2.5 + 10, what="ready")
        assert rig.canaries <= 4, "nobody was asked who would not have heard"
    assert seen <= reasons <= seen | {Reason.FIRST_TOKEN}


async def test_an_engine_that_is_never_there_is_loading_and_no_error() -> None:
    """The sidecar of a pod starts before its engine does."""
    async with over(f"http://127.0.0.1:{free_port()}") as rig:
        await rig.until(lambda: rig.reason() is Reason.PORT_CLOSED, seconds=2, what="closed")
        assert rig.live
        assert rig.watch.notes()["contact"] == "connection refused"
        assert rig.canaries == 0


@pytest.mark.parametrize("engine", ["vllm", "auto"])
async def test_a_name_that_does_not_resolve_is_said(
    engine: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A typo in a host name looks like an engine that is not up, but for this."""

    async def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    words = "its name is not resolved: Name or service not known"
    async with over("http://engnie:8000", engine=engine) as rig:
        await rig.until(lambda: rig.reason() is Reason.PORT_CLOSED, seconds=5, what="closed")
        [told] = rig.report.notes.values()
        assert told["contact"] == words
        await rig.holds(lambda: rig.live, seconds=1.5)
    assert caplog.messages.count(f"http://engnie:8000: {words}") == 1, "once, however often"


@pytest.mark.parametrize(
    ("listing", "contact"),
    [
        (ScriptedEngine.models(), "GET /v1/models: no model listed"),
        (
            ScriptedEngine.error(401, "who are you"),
            "GET /v1/models: HTTP 401; name the model by --model if this server has no list",
        ),
        (ScriptedEngine.text("<html>", kind="text/html"), "GET /v1/models: not a list of models"),
    ],
)
async def test_without_a_model_nobody_is_asked(listing: Any, contact: str) -> None:
    """The port is open, and there is nothing to ask: it says why."""
    engine = ScriptedEngine()
    engine.answers["/v1/models"] = listing
    async with scripted(engine) as url, over(url) as rig:
        await rig.until(lambda: rig.reason() is Reason.NO_MODEL, seconds=2, what="no model")
        assert rig.watch.notes()["contact"].startswith(contact)
        await asyncio.sleep(0.5)
        assert engine.count("/v1/completions") == 0


async def test_a_model_that_is_named_needs_no_list() -> None:
    """Some servers have none."""
    engine = ScriptedEngine()
    del engine.answers["/v1/models"]
    async with scripted(engine) as url, over(url, model="mine") as rig:
        await rig.until_ready()
        assert rig.watch.notes()["model"] == "mine"


async def test_a_named_model_that_is_not_listed_is_asked_all_the_same() -> None:
    """Aliases and adapters are not always listed; the engine knows better."""
    async with scripted(ScriptedEngine()) as url, over(url, model="alias") as rig:
        await rig.until_ready()
        assert "'alias' is not among the 1 listed" in rig.watch.notes()["contact"]


async def test_a_server_that_says_not_yet_is_loading() -> None:
    """503 before the first token is llama-server's "Loading model"; its list is there already."""
    engine = ScriptedEngine()
    engine.answers["/v1/completions"] = engine.error(503, "Loading model", "unavailable_error")
    async with scripted(engine) as url, over(url) as rig:
        await rig.until(lambda: engine.count("/v1/completions") >= 2, seconds=3, what="asked")
        assert rig.reason() is Reason.FIRST_TOKEN
        assert rig.standing().phase is Phase.FIRST_TOKEN
        assert rig.live
        engine.answers["/v1/completions"] = engine.token()
        await rig.until_ready()


async def test_a_port_that_speaks_no_http_is_open_and_has_no_model() -> None:
    """Another program has the port: said as it is."""

    async def other(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(other, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with over(f"http://127.0.0.1:{port}") as rig:
            await rig.until(lambda: rig.reason() is Reason.NO_MODEL, seconds=3, what="no model")
            assert "HTTP" in rig.watch.notes()["contact"]


async def test_a_first_token_that_does_not_come_is_never_a_hang() -> None:
    """An engine that never served stays live for ever: that is the startup probe's case."""
    engine = ScriptedEngine()

    async def never(_: Any) -> Any:
        await asyncio.sleep(60)

    engine.answers["/v1/completions"] = never
    async with scripted(engine) as url, over(url) as rig:
        await rig.until(
            lambda: rig.reason() is Reason.CANARY_TIMEOUT, seconds=4, what="canary_timeout"
        )
        await rig.holds(lambda: rig.live and not rig.ready, seconds=1.5)
