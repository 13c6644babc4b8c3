"""What a server's requests say of its endpoint: tokens, errors, silence, and clients who leave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serinus import Runtime
from serinus.asgi.types import Receive, Send
from serinus.core.evidence import RequestFault
from serinus.runtime.served import Served
from tests.asgi.apps import PATH, Model, event, hangs, settings, streams, token, watched


def served(runtime: Runtime) -> Served:
    (one,) = runtime._workings.served.values()
    return one


def reason(runtime: Runtime) -> str:
    (endpoint,) = runtime.report().endpoints
    return str(endpoint.reason)


async def test_an_answer_goes_through_unchanged_and_is_proof() -> None:
    """Three tokens, the end, and three chunks on the account."""
    pieces = (token("a"), token("b"), token("c"), event("[DONE]"))
    async with watched(Model(streams(*pieces))) as (server, runtime):
        status, body = await server.request().answered()
        assert (status, body) == (200, b"".join(pieces))
        traffic = served(runtime).traffic
        assert (traffic.finished, traffic.chunks, traffic.errors) == (1, 4, {})
        assert traffic.in_flight == traffic.awaiting == 0


async def test_a_plain_answer_is_proof_at_its_end() -> None:
    """One body, no stream."""

    async def plain(_receive: Receive, send: Send) -> None:
        await asyncio.sleep(2)
        body = b'{"choices": [{"text": "once upon"}]}'
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async with watched(Model(plain)) as (server, runtime):
        assert (await server.request().answered())[0] == 200
        traffic = served(runtime).traffic
        assert (traffic.finished, traffic.chunks) == (1, 1)


async def test_other_paths_and_methods_are_none_of_our_business() -> None:
    """Nobody's health is judged by a page that is not found."""

    async def fails(_receive: Receive, _send: Send) -> None:
        raise RuntimeError("not a model's fault")

    async with watched(Model(fails)) as (server, runtime):
        for path, method in (("/other", "POST"), (PATH, "GET"), (PATH + "/x", "POST")):
            with pytest.raises(RuntimeError):
                await server.request(path, method=method).answered()
        assert served(runtime).traffic.started == 0


async def test_a_head_without_a_body_is_no_proof_and_its_silence_counts() -> None:
    """The server of a frozen engine sends 200 at once: it is a stall after its budget."""
    model = Model(streams(token(), event("[DONE]"), pace=0.01))
    never = settings(adaptive=False)
    async with watched(model, never, engine="openai", model="tiny") as (server, runtime):
        await asyncio.sleep(1)
        model.behave = hangs
        request = server.request()
        await asyncio.sleep(59)
        assert runtime.report().readiness.ready
        assert served(runtime).traffic.awaiting == 1
        await asyncio.sleep(3)
        assert (runtime.report().readiness.ready, reason(runtime)) == (False, "stalled")
        request.task.cancel()


async def test_a_client_who_leaves_is_a_cancellation() -> None:
    """Told by the server while the app streams, or by the app's own write."""

    async def until_gone(receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": token(), "more_body": True})
        assert (await receive())["type"] == "http.disconnect"

    async with watched(Model(until_gone)) as (server, runtime):
        request = server.request()
        await asyncio.sleep(1)
        request.disconnect()
        await request.task
        traffic = served(runtime).traffic
        assert (traffic.cancelled, traffic.errors, traffic.in_flight) == (1, {}, 0)


async def test_a_task_that_the_server_cancels_is_a_cancellation() -> None:
    """Whoever cancelled it."""
    async with watched(Model(hangs)) as (server, runtime):
        request = server.request()
        await asyncio.sleep(1)
        request.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request.task
        assert served(runtime).traffic.cancelled == 1


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (400, RequestFault.CLIENT),
        (404, RequestFault.CLIENT),
        (429, RequestFault.CLIENT),
        (500, RequestFault.SERVER),
        (503, RequestFault.SERVER),
        (504, RequestFault.TIMEOUT),
    ],
)
async def test_a_status_says_whose_fault_it_is(status: int, fault: RequestFault) -> None:
    """And its body, whatever it says, is no proof."""
    async with watched(Model(streams(b'{"detail": "no"}', status=status))) as (server, runtime):
        assert (await server.request().answered())[0] == status
        traffic = served(runtime).traffic
        assert (traffic.errors, traffic.chunks) == ({fault: 1}, 0)


async def test_an_exception_of_the_app_is_its_fault_and_comes_out() -> None:
    """The server has to see it too."""

    async def fails(_receive: Receive, _send: Send) -> None:
        raise RuntimeError("CUDA error")

    async with watched(Model(fails)) as (server, runtime):
        with pytest.raises(RuntimeError, match="CUDA error"):
            await server.request().answered()
        assert served(runtime).traffic.errors == {RequestFault.SERVER: 1}


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ({"error": {"message": "CUDA error", "code": 500}}, RequestFault.SERVER),
        ({"error": {"message": "too long", "code": 400}}, RequestFault.CLIENT),
    ],
)
async def test_an_error_in_the_stream_is_told(error: Any, fault: RequestFault) -> None:
    """Its status was 200 long ago."""
    async with watched(Model(streams(token(), event(error)))) as (server, runtime):
        await server.request().answered()
        traffic = served(runtime).traffic
        assert (traffic.errors, traffic.chunks) == ({fault: 1}, 1)


@pytest.mark.parametrize(
    "piece",
    [
        b'data:{"error": "CUDA error"}\n\n',
        b'event: error\ndata: "CUDA error"\n\n',
        b'{"error": "CUDA error"}',
    ],
)
async def test_an_error_is_found_however_it_is_written(piece: bytes) -> None:
    """In the middle of a stream too, where most is not read."""
    tokens = [token() for _ in range(20)]
    async with watched(Model(streams(*tokens, piece, token()))) as (server, runtime):
        await server.request().answered()
        traffic = served(runtime).traffic
        assert (traffic.errors, traffic.chunks) == ({RequestFault.SERVER: 1}, 21)


@pytest.mark.parametrize("piece", [b"d", b"data:", b"once upon a time", b'data: {"e": 1}\n\n'])
async def test_output_of_any_form_counts_in_the_middle_of_a_stream(piece: bytes) -> None:
    """However short."""
    async with watched(Model(streams(token(), token(), piece, token()))) as (server, runtime):
        await server.request().answered()
        assert (served(runtime).traffic.errors, served(runtime).traffic.chunks) == ({}, 4)


@pytest.mark.parametrize("end", [(), (event("[DONE]"),)])
async def test_an_answer_that_ends_with_an_error_is_asked_about(end: tuple[bytes, ...]) -> None:
    """Neither the end of the stream nor its mark is a proof after the error."""
    broken = event({"error": {"message": "CUDA error", "code": 500}})
    good = streams(token(), event("[DONE]"))
    model = Model(good)

    def canaries() -> int:
        return sum((b"x-serinus-canary", b"1") in scope["headers"] for scope in model.scopes)

    async with watched(model, settings(canary_wait_time=60), engine="openai") as (server, runtime):
        await asyncio.sleep(1)
        assert reason(runtime) == "canary"
        before = canaries()
        model.behave = streams(token(), broken, *end)
        request = server.request()
        await asyncio.sleep(0.25)
        model.behave = good
        await request.answered()
        traffic = served(runtime).traffic
        assert (traffic.errors, traffic.chunks) == ({RequestFault.SERVER: 1}, 1)
        await asyncio.sleep(1)
        assert canaries() > before


async def test_users_text_about_errors_is_output() -> None:
    """The word alone is nothing."""
    async with watched(Model(streams(token("an error"), token("error")))) as (server, runtime):
        await server.request().answered()
        assert (served(runtime).traffic.errors, served(runtime).traffic.chunks) == ({}, 2)


async def test_pings_and_a_role_are_no_proof() -> None:
    """They come while nothing is generated."""
    role = event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
    async with watched(Model(streams(b": ping\n\n", role, b": ping\n\n"))) as (server, runtime):
        await server.request().answered()
        assert served(runtime).traffic.chunks == 0


async def test_an_answer_that_breaks_off_is_the_servers_fault() -> None:
    """The app returned in the middle of it."""

    async def half(_receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": token(), "more_body": True})

    async with watched(Model(half)) as (server, runtime):
        await server.request().task
        assert served(runtime).traffic.errors == {RequestFault.SERVER: 1}
