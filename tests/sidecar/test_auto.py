"""`--engine auto`: an engine is recognised by what it shows, and says by what."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from serinus.core.status import Reason
from serinus.sidecar.stranger import StrangerWatch
from serinus.sidecar.targets import read_targets
from serinus.sim.faults import parse_plan
from serinus.sim.options import EngineName, SimOptions
from serinus.sim.server import Simulator
from tests.sidecar.rig import Rig, ScriptedEngine, free_port, over, over_sim, scripted

pytestmark = pytest.mark.real_time

PATIENCE = 20.0
"""Seconds for what takes one or two: machines are busy."""


def notes(rig: Rig) -> dict[str, str]:
    return dict(rig.report.notes[str(rig.sidecar.targets[0].address)])


def unrecognised(rig: Rig) -> bool:
    """Whether it was looked at, and nothing was found."""
    return rig.reason() is Reason.UNRECOGNISED and notes(rig)["recognised"] != "not yet"


def kind(rig: Rig) -> str | None:
    watch = rig.sidecar.watches[0]
    assert isinstance(watch, StrangerWatch)
    return None if watch.known is None else watch.known.target.engine.name


@asynccontextmanager
async def simulated(engine: str, *, port: int = 0) -> AsyncIterator[Simulator]:
    options = SimOptions(engine=EngineName(engine), port=port)
    async with Simulator(options, die=lambda: None) as sim:
        yield sim


@pytest.mark.parametrize("engine", list(EngineName))
async def test_each_simulated_engine_is_recognised_and_ready(
    engine: EngineName, caplog: pytest.LogCaptureFixture
) -> None:
    """End to end: recognised, asked in its own way, ready; the log and the details say how."""
    caplog.set_level(logging.INFO, "serinus")
    async with simulated(engine) as sim, over(sim.url, engine="auto") as rig:
        await rig.until_ready(PATIENCE)
        assert kind(rig) == engine
        assert notes(rig)["engine"] == engine
        assert notes(rig)["recognised"].startswith(f"{engine}: /")
    assert any(f"{engine}: /" in line for line in caplog.messages)


@pytest.mark.parametrize("engine", list(EngineName))
async def test_a_hang_of_each_recognised_engine_is_found_and_its_end_too(
    engine: EngineName,
) -> None:
    """Its own health says 200, or nothing for long; the canary is not answered, and then is."""
    async with simulated(engine) as sim, over(sim.url, engine="auto") as rig:
        await rig.until_ready(PATIENCE)
        sim.board.add(parse_plan("hang").window(time.monotonic()))
        await rig.until(lambda: not rig.ready, seconds=PATIENCE, what="not ready")
        assert rig.reason() is Reason.CANARY_TIMEOUT
        sim.board.clear()
        await rig.until_ready(PATIENCE)
        assert kind(rig) == engine


async def test_a_closed_port_is_waited_for_and_recognised_when_it_opens() -> None:
    """The sidecar may start before its engine."""
    port = free_port()
    async with over(f"http://127.0.0.1:{port}", engine="auto") as rig:
        await rig.until(
            lambda: rig.reason() is Reason.PORT_CLOSED, seconds=PATIENCE, what="port closed"
        )
        assert rig.live
        assert notes(rig)["engine"] == "auto"
        async with simulated("vllm", port=port):
            await rig.until_ready(PATIENCE)
            assert kind(rig) == "vllm"


async def test_another_kind_on_the_same_address_is_recognised_anew() -> None:
    """A restart as something else: the old way of asking does not stay."""
    port = free_port()
    async with over(f"http://127.0.0.1:{port}", engine="auto", engine_death_notice=0.5) as rig:
        async with simulated("vllm", port=port):
            await rig.until_ready(PATIENCE)
        await rig.until(lambda: not rig.ready, seconds=PATIENCE, what="not ready")
        async with simulated("openai", port=port):
            await rig.until(lambda: kind(rig) == "openai", seconds=PATIENCE, what="openai")
            await rig.until_ready(PATIENCE)


async def test_a_server_of_pages_is_not_recognised_and_lists_what_was_tried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Everything is 200 and HTML: nothing names an engine, and the reason says so."""

    async def page(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="<html><title>Welcome</title></html>", content_type="text/html")

    engine = ScriptedEngine()
    paths = ("/", "/v1/models", "/version", "/api/version", "/v2", "/metrics", "/info")
    engine.answers = dict.fromkeys((*paths, "/props", "/model_info", "/openapi.json"), page)
    async with scripted(engine) as url, over(url, engine="auto") as rig:
        await rig.until(lambda: unrecognised(rig), seconds=PATIENCE, what="unrecognised")
        assert rig.live
        said = notes(rig)["recognised"]
        assert said.startswith("no engine that is known (vllm, sglang, ")
        assert "/v1/models: 200 '<html><title>Welcome" in said
        assert "POST" not in "".join(engine.asked), "nothing is generated"
        assert engine.count("/health") == 0, "SGLang's generates"
    assert sum("no engine that is known" in line for line in caplog.messages) == 1


async def test_a_port_that_is_open_is_never_called_closed() -> None:
    """Before the first look nobody knows, and the log must not say otherwise."""
    async with scripted(ScriptedEngine()) as url, over(url, engine="auto") as rig:
        await rig.until_ready(PATIENCE)
        reasons = {turn.reason for turn in rig.sidecar.runtime.report().history}
        assert Reason.PORT_CLOSED not in reasons


async def test_a_server_of_openais_list_is_taken_for_any(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing names another engine: it is asked as OpenAI's API has it, and that is said."""
    async with scripted(ScriptedEngine()) as url, over(url, engine="auto") as rig:
        await rig.until_ready(PATIENCE)
        assert kind(rig) == "openai"
    assert any("is taken for openai: /v1/models lists 1 model(s)" in one for one in caplog.messages)


async def test_a_flood_is_not_read_to_its_end() -> None:
    """A page without end is cut: recognition is bounded in size and time."""

    async def flood(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"# HELP x x\n" * 5000)
        except ConnectionResetError:
            return response

    engine = ScriptedEngine()
    engine.answers["/metrics"] = engine.answers["/"] = flood
    async with scripted(engine) as url, over(url, engine="auto") as rig:
        await rig.until(lambda: kind(rig) == "openai", seconds=PATIENCE, what="recognised")


async def test_a_server_that_never_answers_is_unrecognised_and_live() -> None:
    """It listens and is silent: each page has its patience, and what was tried is said."""

    async def silence(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(3600)
        raise AssertionError

    class Silent(ScriptedEngine):
        async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
            return await silence(request)

    async with scripted(Silent()) as url, over(url, engine="auto") as rig:
        await rig.until(lambda: unrecognised(rig), seconds=3 * PATIENCE, what="unrecognised")
        assert "/v1/models: no answer within 2 s" in notes(rig)["recognised"]


def test_an_engine_to_be_recognised_has_an_address_of_its_own() -> None:
    """Its kind is not known when it gets one."""
    (one,) = read_targets(urls=["http://a:1"], engine=" AUTO ", metrics_port=8002)
    assert (str(one.address), one.kind) == ("serinus.engine.generate", "auto")
    assert (one.recognise, one.metrics_port) == (True, 8002)


async def test_a_page_on_another_port_is_read_there() -> None:
    """Triton's is on 8002; `--metrics-port` says where another one's is."""
    async with over_sim() as rig:
        port = int(rig.sim.url.rsplit(":", 1)[1])
        engine = ScriptedEngine()
        async with scripted(engine) as url, over(url, metrics_port=port) as other:
            await other.until_ready(PATIENCE)
            await other.until(
                lambda: notes(other)["metrics"].startswith("0 request(s)"),
                seconds=PATIENCE,
                what="read",
            )
        assert engine.count("/metrics") == 0
