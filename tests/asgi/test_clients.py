"""Clients who read slowly or go away: what the server's `send` does is not the engine's doing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from serinus import Runtime
from serinus.asgi import HealthMiddleware
from serinus.asgi.rounds import PACE
from serinus.asgi.types import Receive, Send
from serinus.core.evidence import RequestFault
from serinus.runtime.traffic import SAMPLE, Traffic
from tests.asgi.apps import EVENT_STREAM, Model, event, settings, streams, token, watched
from tests.asgi.test_evidence import reason, served

STALL = 60
MANY = 2 * SAMPLE + 3
"""Events of an answer: some of the sample are among them, and some after the last of it."""


class Valve:
    """A connection that takes each piece at once, or none until it is opened again."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._taken = 0
        self.close_at = -1
        self.closed = asyncio.Event()
        self.error: BaseException | None = None

    def open(self) -> None:
        """Take all."""
        self._open.set()

    async def take(self) -> None:
        """Take one piece."""
        if self._taken == self.close_at:
            self._open.clear()
            self.closed.set()
            if self.error is not None:
                raise self.error
        self._taken += 1
        await self._open.wait()


def traffic_of(runtime: Runtime) -> Traffic:
    return served(runtime).traffic


@pytest.mark.parametrize("at", range(MANY))
async def test_a_client_who_reads_slowly_is_not_the_engines_silence(at: int) -> None:
    """Whichever piece it is that the server cannot write, for longer than a stall is allowed."""
    valve = Valve()
    valve.close_at = at
    never = settings(adaptive=False)
    async with watched(Model(streams(*[token()] * MANY)), never) as (server, runtime):
        request = server.request(take=valve.take)
        await asyncio.sleep(MANY * 0.1 + 1)
        traffic = traffic_of(runtime)
        assert (traffic.in_flight, traffic.awaiting) == (1, 0)
        await asyncio.sleep(2 * STALL)
        assert runtime.report().readiness.ready
        assert traffic.widest <= 0.2 + PACE
        valve.open()
        await request.answered()
        assert (traffic.chunks, traffic.errors) == (MANY, {})
        assert traffic.in_flight == traffic.awaiting == 0
        assert traffic.widest <= 0.2 + PACE


@pytest.mark.parametrize("at", [0, 1, SAMPLE, SAMPLE + 1])
async def test_an_engine_that_hangs_after_a_client_has_rested_is_found(at: int) -> None:
    """Its silence begins when the server has taken the piece, and not before."""
    valve = Valve()
    valve.close_at = at

    async def hangs_after(_receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
        for _ in range(at + 1):
            await asyncio.sleep(0.1)
            await send({"type": "http.response.body", "body": token(), "more_body": True})
        await asyncio.Event().wait()

    model = Model(streams(token(), event("[DONE]"), pace=0.01))
    never = settings(adaptive=False)
    async with watched(model, never, engine="openai", model="tiny") as (server, runtime):
        good = model.behave
        await asyncio.sleep(1)
        model.behave = hangs_after
        request = server.request(take=valve.take)
        await asyncio.sleep(5)
        model.behave = good  # for canaries, while the client rests
        await asyncio.sleep(600)
        valve.open()
        await asyncio.sleep(STALL - 1)
        assert runtime.report().readiness.ready
        assert traffic_of(runtime).awaiting == 1
        await asyncio.sleep(3)
        assert (runtime.report().readiness.ready, reason(runtime)) == (False, "stalled")
        request.task.cancel()


async def test_a_rest_too_short_to_be_seen_is_no_longer_than_a_round() -> None:
    """More than that is never added to a silence."""

    async def take() -> None:
        await asyncio.sleep(0.7 * PACE)

    pieces = [token()] * MANY
    async with watched(Model(streams(*pieces, pace=1))) as (server, runtime):
        request = server.request(take=take)
        await asyncio.sleep(0.1)
        traffic = traffic_of(runtime)
        await asyncio.sleep(5)
        traffic.progress()  # the first two have one silence before them
        widest = 0.0
        while traffic.in_flight:
            widest = max(widest, traffic.widest)
            await asyncio.sleep(0.5)
        assert 1 <= widest <= 1 + PACE
        await request.answered()


async def test_the_clients_rests_are_left_out_of_the_pace() -> None:
    """Of what is told of a request, the gap is the engine's: 0.1 s, though each piece takes 1 s."""
    told: list[tuple[float, float | None, int]] = []

    class Gauge:
        def request(self, first: float, gap: float | None, in_flight: int, /) -> None:
            told.append((first, gap, in_flight))

    async def take() -> None:
        await asyncio.sleep(1)

    model = Model(streams(token(), event("[DONE]")))
    async with watched(model, engine="openai", model="tiny") as (server, runtime):
        traffic = traffic_of(runtime)
        await asyncio.sleep(5)  # it is proven by a canary
        traffic.measured = Gauge()
        model.behave = streams(*[token()] * MANY)
        await server.request(take=take).answered()
    ((first, gap, in_flight),) = told
    assert in_flight == 1
    assert [first, gap] == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize("at", [0, 1, SAMPLE, SAMPLE + 1])
@pytest.mark.parametrize("caught", [False, True])
async def test_a_client_who_is_gone_when_the_server_writes_is_a_cancellation(
    at: int, caught: bool
) -> None:
    """Servers raise OSError from `send` (uvicorn one of its own), and an app may catch it."""
    valve = Valve()
    valve.close_at, valve.error = at, OSError("client gone")

    async def answer(receive: Receive, send: Send) -> None:
        try:
            await streams(*[token()] * MANY)(receive, send)
        except OSError:
            if not caught:
                raise

    async with watched(Model(answer)) as (server, runtime):
        (ended,) = await asyncio.gather(
            server.request(take=valve.take).task, return_exceptions=True
        )
        assert isinstance(ended, OSError) is not caught
        traffic = traffic_of(runtime)
        assert (traffic.cancelled, traffic.chunks, traffic.errors) == (1, at + 1, {})
        assert traffic.in_flight == traffic.awaiting == 0


@pytest.mark.parametrize("waits", [0.0, 0.7 * PACE, 600.0])
@pytest.mark.parametrize("at", [0, 1, SAMPLE, SAMPLE + 1])
async def test_a_request_that_is_cancelled_while_its_client_rests(at: int, waits: float) -> None:
    """Whether a round has seen the rest or not, nothing is left on the account."""
    valve = Valve()
    valve.close_at = at
    async with watched(Model(streams(*[token()] * MANY))) as (server, runtime):
        request = server.request(take=valve.take)
        await valve.closed.wait()
        await asyncio.sleep(waits)
        request.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request.task
        traffic = traffic_of(runtime)
        assert (traffic.cancelled, traffic.chunks, traffic.errors) == (1, at + 1, {})
        assert traffic.in_flight == traffic.awaiting == 0


@pytest.mark.parametrize("beside", [b": ping\n\n", token()])
@pytest.mark.parametrize("waits", [0.0, 0.7 * PACE, 600.0])
async def test_an_app_may_send_while_another_of_its_pieces_waits(
    beside: bytes, waits: float
) -> None:
    """As servers of event streams send pings; afterwards the engine owes the next piece again."""
    valve = Valve()
    valve.close_at = 3
    go_on = asyncio.Event()

    async def answer(receive: Receive, send: Send) -> None:
        async def ping() -> None:
            await valve.closed.wait()
            await asyncio.sleep(waits)
            await send({"type": "http.response.body", "body": beside, "more_body": True})

        pinging = asyncio.create_task(ping())
        await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
        for number in range(MANY):
            if number == 5:
                await go_on.wait()
            await asyncio.sleep(0.1)
            await send({"type": "http.response.body", "body": token(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        await pinging

    async with watched(Model(answer)) as (server, runtime):
        request = server.request(take=valve.take)
        await asyncio.sleep(waits + 2)
        traffic = traffic_of(runtime)
        assert traffic.awaiting == 0
        valve.open()
        await asyncio.sleep(1)
        assert traffic.awaiting == 1
        go_on.set()
        await request.answered()
        assert (traffic.chunks, traffic.errors) == (MANY + (beside != b": ping\n\n"), {})
        assert traffic.in_flight == traffic.awaiting == 0


@pytest.mark.parametrize("first", [token(), b"once upon a time"])
@pytest.mark.parametrize("waits", [0.3, 30.0])
async def test_pieces_that_overtake_one_that_waits_are_counted_too(
    first: bytes, waits: float
) -> None:
    """A server may keep one task's piece waiting while it takes another's."""
    taken = 0

    async def take() -> None:
        nonlocal taken
        taken += 1
        if taken == 2:
            await asyncio.sleep(waits)

    async def answer(_receive: Receive, send: Send) -> None:
        async def put(piece: bytes) -> None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})

        await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
        await put(token())
        late = asyncio.create_task(put(first))
        for number in range(MANY):
            await asyncio.sleep(0.1)
            await put(token() if number % 4 else b"there was a")
        await late
        await put(token())
        await send({"type": "http.response.body", "body": b""})

    async with watched(Model(answer)) as (server, runtime):
        await server.request(take=take).answered()
        traffic = traffic_of(runtime)
        assert (traffic.chunks, traffic.finished, traffic.errors) == (MANY + 3, 1, {})
        assert traffic.in_flight == traffic.awaiting == 0


@pytest.mark.parametrize("at", [0, 1, SAMPLE, SAMPLE + 1])
async def test_what_the_server_raises_comes_out_once(at: int) -> None:
    """Whatever it is: the piece is not sent again. The app could not catch it: it is a failure."""
    valve = Valve()
    valve.close_at, valve.error = at, KeyError("of the server")
    async with watched(Model(streams(*[token()] * MANY))) as (server, runtime):
        request = server.request(take=valve.take)
        with pytest.raises(KeyError, match="of the server"):
            await request.task
        assert len(request.messages) == 1 + at + 1
        traffic = traffic_of(runtime)
        assert (traffic.errors, traffic.in_flight) == ({RequestFault.SERVER: 1}, 0)


@pytest.mark.parametrize("at", [0, 1, SAMPLE, SAMPLE + 1])
async def test_an_app_that_goes_on_after_a_piece_was_lost_owes_again(at: int) -> None:
    """It caught what the server raised: the next piece is owed as if nothing had been."""
    valve = Valve()
    valve.close_at, valve.error = at, TimeoutError("the server's own")

    async def answer(_receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
        for _ in range(at + 2):
            await asyncio.sleep(0.1)
            with suppress(TimeoutError):
                await send({"type": "http.response.body", "body": token(), "more_body": True})
            if valve.closed.is_set():
                valve.close_at = -1
                valve.open()
        await asyncio.Event().wait()

    async with watched(Model(answer)) as (server, runtime):
        request = server.request(take=valve.take)
        await asyncio.sleep(0.1 * (at + 2) + 3 * PACE)
        traffic = traffic_of(runtime)
        assert (traffic.in_flight, traffic.awaiting) == (1, 1)
        request.task.cancel()


async def test_nobody_goes_round_when_all_is_answered() -> None:
    """Whatever becomes of a request."""
    async with watched(Model(streams(*[token()] * 3))) as (server, _):
        assert isinstance(server.app, HealthMiddleware)
        rounds = server.app._rounds
        ends = server.request(), server.request()
        await asyncio.sleep(0.15)
        assert rounds._timer is not None
        ends[0].task.cancel()
        await asyncio.wait([one.task for one in ends])
        assert not rounds._looks
        assert rounds._timer is None


async def test_a_piece_can_be_sent_by_a_task_of_its_own() -> None:
    """What `send` returns is a coroutine, as a server's own."""

    async def answer(_receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
        for _ in range(MANY):
            await asyncio.sleep(0.1)
            message = {"type": "http.response.body", "body": token(), "more_body": True}
            sending = send(message)
            assert asyncio.iscoroutine(sending)
            await asyncio.create_task(sending)
            await asyncio.wait_for(send(message), 1)
        await send({"type": "http.response.body", "body": b""})

    async with watched(Model(answer)) as (server, runtime):
        await server.request().answered()
        assert traffic_of(runtime).chunks == 2 * MANY


@pytest.mark.parametrize("place", range(MANY))
async def test_an_error_is_found_at_any_place(place: int) -> None:
    """The second event, one of the sample, the last: the count is of those that were good."""
    broken = event({"error": {"message": "CUDA error", "code": 500}})
    pieces = [token()] * MANY
    pieces[place] = broken
    async with watched(Model(streams(*pieces))) as (server, runtime):
        await server.request().answered()
        traffic = traffic_of(runtime)
        assert (traffic.errors, traffic.chunks) == ({RequestFault.SERVER: 1}, MANY - 1)
        assert traffic.in_flight == traffic.awaiting == 0


async def test_an_error_anywhere_in_the_last_event_is_found() -> None:
    """One that does not begin as errors do is looked for where an answer ends."""
    hidden = event({"id": "cmpl-1", "error": {"message": "CUDA error", "code": 500}})
    async with watched(Model(streams(token(), token(), hidden))) as (server, runtime):
        await server.request().answered()
        traffic = traffic_of(runtime)
        assert (traffic.errors, traffic.finished) == ({RequestFault.SERVER: 1}, 0)


NAMED = b'event: content_block_delta\ndata: {"delta": {"text": "x"}}\n\n'
KINDS: tuple[Callable[[int], bytes], ...] = (
    lambda _: token(),
    lambda _: NAMED,
    lambda number: token() if number % 3 else b"once upon a time",
    lambda number: token() if number % 5 else b'data: {"prompt": 1}\n\n',
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("many", [1, 2, SAMPLE, SAMPLE + 1, SAMPLE + 2, 100])
async def test_every_piece_is_counted_once(many: int, kind: Callable[[int], bytes]) -> None:
    """However they are mixed, of those that are alike and those that are looked at."""
    pieces = [token(), *(kind(number) for number in range(1, many))]
    async with watched(Model(streams(*pieces))) as (server, runtime):
        await server.request().answered()
        assert (traffic_of(runtime).chunks, traffic_of(runtime).errors) == (many, {})
