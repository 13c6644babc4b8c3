"""What an engine's answers mean: to the verdict, and to the way of asking."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from serinus.core.status import LiveReason, Reason
from serinus.errors import SettingsError
from serinus.sidecar.client import trusting
from tests.sidecar.rig import NOTICED, STALL, WAIT, ScriptedEngine, over, scripted

pytestmark = pytest.mark.real_time

CORE_DIED = "EngineCore encountered an issue. See stack trace (above) for the root cause."


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Break the connection without a word."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def break_off(request: web.Request) -> web.StreamResponse:
    """Begin to stream, and break the connection in the middle."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b'data: {"choices": [{"text": "a", "finish_reason": null}]}\n\n')
    if request.transport is not None:
        request.transport.close()
    return response


async def flood(request: web.Request) -> web.StreamResponse:
    """Stream without end: comments, which are no events."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(10_000):
        await response.write((b":" + b"x" * 64_000 + b"\n") * 4)
    return response


async def moved(_: web.Request) -> web.StreamResponse:
    """Send elsewhere."""
    raise web.HTTPTemporaryRedirect("http://127.0.0.1:1/elsewhere")


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (hang_up, Reason.CANARY_DROPPED, "the connection broke before the end of the answer"),
        (break_off, Reason.CANARY_DROPPED, "the connection broke before the end of the answer"),
        (flood, Reason.CANARY_WRONG_SHAPE, "more than 1048576 bytes"),
        (moved, Reason.CANARY_ERROR, "redirected: give the address that answers itself"),
        (
            ScriptedEngine.error(500, "out of memory"),
            Reason.CANARY_ERROR,
            "the engine failed (HTTP 500): 'out of memory'",
        ),
        (
            ScriptedEngine.text("<html>hello</html>", kind="text/html"),
            Reason.CANARY_WRONG_SHAPE,
            "'text/html' in place of an event stream",
        ),
        (
            ScriptedEngine.error(400, "prompt is too odd"),
            Reason.CANARY_ERROR,
            "bad request (HTTP 400): 'prompt is too odd'",
        ),
    ],
)
async def test_a_bad_answer_is_told_for_what_it_is(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], reason: Reason, detail: str
) -> None:
    """Twice in a row it turns the engine, which stays live: it is not silent."""
    engine = ScriptedEngine()
    async with scripted(engine) as url, over(url) as rig:
        await rig.until_ready()
        engine.answers["/v1/completions"] = answer
        await rig.until(lambda: not rig.ready, seconds=NOTICED + 1, what="not ready")
        assert rig.reason() is reason
        assert detail in str(rig.standing().fault)
        assert rig.live
        engine.answers["/v1/completions"] = engine.token()
        await rig.until_ready()


async def test_an_answer_in_one_piece_is_an_answer() -> None:
    """Some servers do not stream, whatever they are asked."""
    engine = ScriptedEngine()
    choice = {"index": 0, "text": "x", "finish_reason": "length"}
    engine.answers["/v1/completions"] = engine.json({"choices": [choice]})
    async with scripted(engine) as url, over(url) as rig:
        await rig.until_ready()


async def test_a_server_without_completions_is_asked_by_chat() -> None:
    """And from then on at once."""
    engine = ScriptedEngine()
    del engine.answers["/v1/completions"]
    choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": "length"}
    engine.answers["/v1/chat/completions"] = engine.json({"choices": [choice]})
    async with scripted(engine) as url, over(url, engine="openai") as rig:
        await rig.until_ready()
        await rig.until(lambda: rig.canaries >= 3, seconds=5, what="three canaries")
        assert engine.count("/v1/completions") == 1


async def test_another_model_is_found_when_the_first_one_goes() -> None:
    """The engine was restarted with another model between two canaries."""
    engine = ScriptedEngine()
    async with scripted(engine) as url, over(url) as rig:
        await rig.until_ready()
        asked: list[str] = []
        token = engine.token()

        async def by_model(request: web.Request) -> web.StreamResponse:
            asked.append((await request.json())["model"])
            if asked[-1] != "other":
                return await engine.error(404, f"The model `{asked[-1]}` does not exist.")(request)
            return await token(request)

        engine.answers["/v1/models"] = engine.models("other")
        engine.answers["/v1/completions"] = by_model
        await rig.until(lambda: "other" in asked, seconds=3, what="the other model asked")
        await rig.holds(lambda: rig.ready, seconds=3 * WAIT)
        assert asked.count("tiny") == 1


async def test_a_word_of_death_is_death_at_once() -> None:
    """The server of vLLM answers for a moment after its core is gone."""
    engine = ScriptedEngine()
    async with scripted(engine) as url, over(url, canary_wait_time=0.2) as rig:
        await rig.until_ready()
        engine.answers["/v1/completions"] = engine.error(500, CORE_DIED, "InternalServerError")
        await rig.until(lambda: not rig.live, seconds=1.5, what="not live")
        assert rig.report.liveness.reason is LiveReason.ENGINE_DIED
        assert "EngineCore encountered an issue" in rig.report.liveness.why
        await rig.holds(lambda: not rig.live, seconds=1.5)
        engine.answers["/v1/completions"] = engine.token()
        await rig.until_ready()


async def test_an_engine_that_has_too_much_to_do_is_excused_for_the_stall_budget() -> None:
    """429 is an answer, and no sign of illness; but not for ever, as nothing proves it."""
    engine = ScriptedEngine()
    async with scripted(engine) as url, over(url) as rig:
        await rig.until_ready()
        engine.answers["/v1/completions"] = engine.error(429, "slow down")
        await rig.holds(lambda: rig.ready, seconds=STALL)
        await rig.until(lambda: not rig.ready, seconds=2.5, what="not ready")
        assert rig.reason() is Reason.CANARY_ERROR
        assert "too much to do (HTTP 429): 'slow down', for " in str(rig.standing().fault)


async def test_an_engine_that_calls_itself_ill_is_asked_at_once() -> None:
    """The health of vLLM is 503 once its core is dead: no verdict, but a reason to ask now."""
    engine = ScriptedEngine()
    async with scripted(engine) as url, over(url, canary_wait_time=60) as rig:
        await rig.until_ready()
        engine.answers["/health"] = engine.text("", status=503)
        await rig.until(lambda: engine.count("/v1/completions") == 2, seconds=2, what="asked")
        await rig.holds(lambda: rig.ready, seconds=1.5)
        assert engine.count("/v1/completions") == 2, "and once is enough"
        engine.answers["/health"] = engine.text("ok")
        await rig.until(
            lambda: "/health: 200 (" in rig.watch.notes()["own_health"], seconds=2, what="heard"
        )
        engine.answers["/health"] = engine.text("", status=503)
        engine.answers["/v1/completions"] = engine.error(500, CORE_DIED)
        await rig.until(lambda: not rig.live, seconds=2, what="not live")


async def test_an_engine_that_has_lost_its_device_is_dead() -> None:
    """It answers every request, and will answer none well until it is started anew."""
    engine = ScriptedEngine()
    async with scripted(engine) as url, over(url, canary_wait_time=0.5) as rig:
        await rig.until_ready()
        engine.answers["/v1/completions"] = engine.error(
            500, "Server error: CUDA error: an illegal memory access was encountered"
        )
        await rig.until(lambda: not rig.live, seconds=2, what="not live")
        assert rig.reason() is Reason.ENGINE_DIED
        engine.answers["/v1/completions"] = engine.token()
        await rig.until(lambda: rig.live and rig.ready, seconds=5, what="a new process")


async def test_a_health_page_that_generates_is_asked_in_doubt_alone() -> None:
    """SGLang's costs a second and a request, which would look like users' work."""
    engine = ScriptedEngine()
    async with scripted(engine) as url, over(url, engine="openai") as rig:
        await rig.until_ready()
        heard = engine.count("/health")
        await rig.holds(lambda: engine.count("/health") == heard, seconds=1)
        engine.answers["/v1/completions"] = engine.error(500, "broken")
        await rig.until(lambda: engine.count("/health") > heard, seconds=3, what="heard")


async def test_one_bad_answer_is_a_suspicion_and_is_asked_about_at_once() -> None:
    """Design: one failure turns nothing."""
    engine = ScriptedEngine()
    async with scripted(engine) as url, over(url, canary_wait_time=0.5) as rig:
        await rig.until_ready()
        token = engine.token()

        failed_at = 0

        async def once(request: web.Request) -> web.StreamResponse:
            nonlocal failed_at
            failed_at = engine.count("/v1/completions")
            engine.answers["/v1/completions"] = token
            return await engine.error(500, "hiccup")(request)

        engine.answers["/v1/completions"] = once
        await rig.until(lambda: rig.standing().fault is not None, seconds=3, what="a failure")
        await rig.until(
            lambda: engine.count("/v1/completions") > failed_at, seconds=0.4, what="asked again"
        )
        await rig.holds(lambda: rig.ready, seconds=1)


async def test_a_certificate_of_a_stranger_is_not_trusted() -> None:
    """The port is open, and that is all: no key is sent to whoever that is."""
    asked: list[str] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.read(65536)).decode("latin-1"))
        writer.write(b"\x15\x03\x03\x00\x02\x02\x28")  # a TLS alert: handshake_failure
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with over(f"https://127.0.0.1:{port}", api_key="sk-secret-key") as rig:
            await rig.until(lambda: rig.reason() is Reason.NO_MODEL, seconds=3, what="no model")
            assert rig.watch.notes()["contact"].startswith("TLS failed: ")
            assert rig.live
    assert asked
    assert not any("sk-secret-key" in text for text in asked)


def test_authorities_that_cannot_be_read_stop_the_start(tmp_path: Any) -> None:
    """A sidecar that cannot check a certificate must not start."""
    with pytest.raises(SettingsError) as raised:
        trusting("/no/such/file")
    assert str(raised.value) == (
        "--ca-file: '/no/such/file' is not accepted (No such file or directory); accepted: a file "
        "with certificates in PEM format"
    )
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing\n")
    with pytest.raises(SettingsError, match="no certificate in it"):
        trusting(str(empty))
    assert trusting(None) is None
    assert isinstance(trusting(ssl.get_default_verify_paths().cafile), ssl.SSLContext | None)
