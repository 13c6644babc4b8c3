"""The account of real traffic: right at every moment, whatever way a stream ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.evidence import Load, Progress, RequestFailed, RequestFault
from serinus.runtime.traffic import BUCKETS, Traffic, accounted, blame
from tests.runtime.benches import first_of, read

FOREVER = object()
"""Stands in a stream where nothing more comes."""
ENDS = ["ends", "raises", "closed", "abandoned", "cancelled"]


class Watch:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Account:
    """A traffic account, and what it told."""

    def __init__(self) -> None:
        self.clock = Watch()
        self.told: list[Progress | RequestFailed] = []
        self.begun: list[Load] = []
        self.traffic = Traffic(self.clock, self._hear)
        self.traffic.alert = False

    def _hear(self, evidence: Progress | Load | RequestFailed) -> None:
        if isinstance(evidence, Load):
            self.begun.append(evidence)
        else:
            self.told.append(evidence)

    def silence(self) -> float:
        """Seconds for which nothing has gone on."""
        load = self.load()
        assert load.flow_at is not None
        return self.clock.now - load.flow_at

    def load(self) -> Load:
        """Return what a look sees, whatever one before it saw."""
        load = self.traffic.load(self.clock.now, before=None)
        assert load is not None
        return load

    def open(self, *items: Any) -> AsyncGenerator[Any, None]:
        """Account for a stream of items; a number waits so long, an exception is raised."""
        return accounted(self.traffic, self._stream(items))

    async def _stream(self, items: tuple[Any, ...]) -> AsyncIterator[Any]:
        for item in items:
            if item is FOREVER:
                await asyncio.sleep(1e9)
            elif isinstance(item, BaseException):
                raise item
            elif isinstance(item, int):
                self.clock.now += item
            else:
                yield item


@pytest.fixture
def account() -> Account:
    """Open an account."""
    return Account()


def settled(traffic: Traffic) -> bool:
    """Whether nothing is in flight."""
    return (traffic.in_flight, traffic.awaiting) == (0, 0)


async def test_what_a_handler_yields_comes_out_unchanged(account: Account) -> None:
    """The very same objects, errors included."""
    items = [{"token_ids": [1]}, None, {"error": "x"}, "text"]
    out = await read(account.open(*items))
    assert all(one is other for one, other in zip(out, items, strict=True))


async def test_a_stream_that_ends_well_is_counted_and_closed(account: Account) -> None:
    """Requests, chunks, seconds."""
    await read(account.open("a", 3, "b"))
    traffic = account.traffic
    assert settled(traffic)
    assert (traffic.started, traffic.finished, traffic.cancelled, traffic.chunks) == (1, 1, 0, 2)
    assert (traffic.seen_at, traffic.flow_at, traffic.duration_sum) == (103, 103, 3)
    assert traffic.errors == {}


async def test_in_flight_and_awaiting_are_right_at_every_step(account: Account) -> None:
    """A handler owes a chunk while it is asked for one, and not while its consumer rests."""
    traffic = account.traffic
    states = []

    async def handler() -> AsyncIterator[str]:
        for item in ("a", "b"):
            states.append(("handler", traffic.in_flight, traffic.awaiting))
            yield item

    stream = accounted(traffic, handler())
    assert settled(traffic), "a stream that nobody reads has not begun"
    while await anext(stream, None):
        states.append(("consumer", traffic.in_flight, traffic.awaiting))
    assert states == [("handler", 1, 1), ("consumer", 1, 0)] * 2
    assert settled(traffic)


async def test_a_slow_consumer_is_not_the_engines_silence(account: Account) -> None:
    """The hour between two reads is the consumer's own."""
    stream = account.open("a", "b", 5, FOREVER)
    await first_of(stream)
    account.clock.now += 3600
    assert account.load().pending == 0
    await first_of(stream)
    assert account.silence() == 0
    account.clock.now += 3600
    reader = asyncio.ensure_future(first_of(stream))
    await asyncio.sleep(0)
    assert account.silence() == 5
    reader.cancel()
    await asyncio.wait([reader])


async def test_one_that_begins_to_wait_does_not_end_the_silence_of_another() -> None:
    """Nor does one that reads on after its consumer has rested."""
    account = Account()
    silent, slow = account.open("a", FOREVER), account.open("a", FOREVER)
    await first_of(slow)
    await first_of(silent)
    readers = [asyncio.ensure_future(first_of(silent))]
    await asyncio.sleep(0)
    account.clock.now += 20
    readers.append(asyncio.ensure_future(first_of(slow)))
    await asyncio.sleep(0)
    assert account.silence() == 20
    for reader in readers:
        reader.cancel()
    await asyncio.wait(readers)


def test_an_account_begins_in_doubt_and_with_no_silence() -> None:
    """The first chunk is told at once: it may be the first proof."""
    account = Account()
    traffic = Traffic(account.clock, account._hear)
    assert traffic.alert
    assert traffic.load(100, before=None) == Load(100, 0, 100, newcomers=False)
    assert traffic.progress() is None


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (RuntimeError("x"), RequestFault.SERVER),
        (KeyError("x"), RequestFault.SERVER),
        (ValueError("x"), RequestFault.CLIENT),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), RequestFault.CLIENT),
        (TimeoutError("x"), RequestFault.TIMEOUT),
        (ConnectionResetError("x"), RequestFault.TRANSPORT),
        (BrokenPipeError("x"), RequestFault.TRANSPORT),
    ],
)
@pytest.mark.parametrize("items", [(), ("a",)], ids=["at once", "after one item"])
async def test_a_handler_that_raises_is_counted_told_and_heard(
    account: Account, error: Exception, fault: RequestFault, items: tuple[str, ...]
) -> None:
    """The user gets the very exception; the account gets its fault."""
    with pytest.raises(type(error)) as caught:
        await read(account.open(*items, error))
    assert caught.value is error
    traffic = account.traffic
    assert settled(traffic)
    assert traffic.errors == {fault: 1}
    assert (traffic.finished, traffic.cancelled) == (0, 0)
    (told,) = account.told
    assert isinstance(told, RequestFailed)
    assert (told.at, told.fault) == (100, fault)
    assert told.detail.startswith(type(error).__name__ + ": ")


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        ({"error": "x"}, RequestFault.SERVER),
        ({"error": {"code": 400}}, RequestFault.CLIENT),
        ({"error": {"code": 422}}, RequestFault.CLIENT),
        ({"error": {"code": 408}}, RequestFault.SERVER),
        ({"error": {"code": 429}}, RequestFault.SERVER),
        ({"error": {"code": 500}}, RequestFault.SERVER),
        ({"finish_reason": "error"}, RequestFault.SERVER),
        ({"choices": [{"finish_reason": "error"}]}, RequestFault.SERVER),
        ({"event": "error", "code": 404}, RequestFault.CLIENT),
    ],
)
async def test_an_error_item_is_a_failed_request_and_no_progress(
    account: Account, item: Any, fault: RequestFault
) -> None:
    """It passes on to the user all the same."""
    account.traffic.alert = True
    assert await read(account.open(item)) == [item]
    assert account.traffic.errors == {fault: 1}
    assert account.traffic.progress() is None
    (told,) = account.told
    assert isinstance(told, RequestFailed)
    assert told.detail.startswith(("error: ", "finish_reason: ", "event: "))


@pytest.mark.parametrize(
    "item",
    [
        {"token_ids": [1]},
        {"token_ids": [1], "index": 0, "text": "an error", "finish_reason": None},
        {"token_ids": [], "finish_reason": "stop"},
        {"error": None, "text": "x"},
        {"event": "message", "data": "error"},
        {"choices": [{"finish_reason": None, "text": "x"}]},
        {},
        "error",
        None,
        7.5,
    ],
)
async def test_output_of_any_shape_is_progress(account: Account, item: Any) -> None:
    """Nothing that only looks like an error is one; as the first chunk, and in the middle."""
    assert await read(account.open("a", item, item)) == ["a", item, item]
    assert (account.traffic.errors, account.traffic.chunks) == ({}, 3)


@pytest.mark.parametrize("chunks", [1, 2, 15, 16, 17, 18, 32, 33, 34, 100])
@pytest.mark.parametrize("end", ["read", "closed"])
async def test_every_chunk_is_counted(account: Account, chunks: int, end: str) -> None:
    """However many, and whether the consumer came back after the last one or not."""
    stream = account.open(*("a" for _ in range(chunks)), "b")
    for _ in range(chunks):
        assert await anext(stream) == "a"
    if end == "closed":
        await stream.aclose()
        assert account.traffic.chunks == chunks
    else:
        await read(stream)
        assert account.traffic.chunks == chunks + 1


async def test_an_error_among_chunks_is_no_chunk(account: Account) -> None:
    """Before the first, and between two."""
    error = {"error": "x"}
    await read(account.open(error, "a", error, "b", error))
    assert (account.traffic.chunks, sum(account.traffic.errors.values())) == (2, 3)


async def test_the_end_of_a_doubt_leaves_the_widest_silence(account: Account) -> None:
    """Each chunk is told while it lasts, and its silence is not forgotten."""
    stream = account.open("a", 1, "b", 5, "c", 2, "d", 7, "e")
    await first_of(stream)
    account.traffic.alert = True
    for _ in "bc":
        await first_of(stream)
    assert [told.at for told in account.told] == [101, 106]
    account.traffic.alert = False
    await first_of(stream)
    assert len(account.told) == 2
    assert account.traffic.widest == 5
    await first_of(stream)
    progress = account.traffic.progress()
    assert progress is not None
    assert (progress.at, progress.gap) == (115, 7)


async def test_a_request_that_ends_with_an_error_did_not_go_well(account: Account) -> None:
    """Its tokens were proof when they came; its end, after the error, is none."""
    account.traffic.alert = True
    await read(account.open("a", {"error": {"code": 500}}))
    assert [type(told) for told in account.told] == [Progress, RequestFailed]


async def test_a_stream_closed_early_is_cancelled_and_its_handler_closed(account: Account) -> None:
    """`aclose()` returns when the handler has ended."""
    closed = []

    async def handler() -> AsyncIterator[str]:
        try:
            yield "a"
            yield "b"
        finally:
            await asyncio.sleep(1)
            closed.append(asyncio.get_running_loop().time())

    stream = accounted(account.traffic, handler())
    await first_of(stream)
    await stream.aclose()
    assert closed
    assert settled(account.traffic)
    assert (account.traffic.cancelled, account.traffic.finished) == (1, 0)
    assert account.told == []


async def test_a_cancelled_reader_is_counted_and_its_handler_hears_of_it(account: Account) -> None:
    """While the handler owes a chunk."""
    heard = []

    async def handler() -> AsyncIterator[str]:
        try:
            await asyncio.sleep(100)
            yield "a"
        except asyncio.CancelledError:
            heard.append(True)
            raise

    reader = asyncio.create_task(read(accounted(account.traffic, handler())))
    await asyncio.sleep(1)
    assert (account.traffic.in_flight, account.traffic.awaiting) == (1, 1)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert heard == [True]
    assert settled(account.traffic)
    assert account.traffic.cancelled == 1
    assert account.told == []


async def test_a_stream_that_is_no_generator_needs_no_closing(account: Account) -> None:
    """Any async iterator will do."""

    class Once:
        def __init__(self) -> None:
            self.left = ["a"]

        def __aiter__(self) -> Once:
            return self

        async def __anext__(self) -> str:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    assert await read(accounted(account.traffic, Once())) == ["a"]
    assert settled(account.traffic)


async def test_without_an_alert_a_chunk_is_told_only_when_asked_for(account: Account) -> None:
    """The path of every chunk costs no call; the newest is told once."""
    await read(account.open("a", 2, "b"))
    assert account.told == []
    assert account.traffic.progress() == Progress(102, flow=False, gap=2.0, began_at=100)
    assert account.traffic.progress() is None


async def test_under_an_alert_every_good_chunk_is_told_at_once(account: Account) -> None:
    """The first as a beginning, the next ones and the good end as flow."""
    account.traffic.alert = True
    await read(account.open("a", 2, "b", 3))
    assert account.told == [
        Progress(100, flow=False, began_at=100),
        Progress(102, flow=True, began_at=100),
        Progress(105, flow=True, began_at=100),
    ]
    assert account.traffic.progress() is None


async def test_a_request_of_one_chunk_that_ends_well_is_flow(account: Account) -> None:
    """Answers that are not streamed count too."""
    account.traffic.alert = True
    await read(account.open("a"))
    assert account.told[-1] == Progress(100, flow=True, began_at=100)
    assert account.traffic.flow_at == 100


@pytest.mark.parametrize("items", [(), ({"error": "x"},)], ids=["nothing", "an error"])
async def test_a_request_without_output_is_no_flow_and_no_progress(
    account: Account, items: tuple[Any, ...]
) -> None:
    """Answered with nothing is not served."""
    account.traffic.alert = True
    await read(account.open(5, *items))
    assert not any(isinstance(told, Progress) for told in account.told)
    assert account.traffic.progress() is None
    assert account.silence() == 5
    assert account.traffic.finished == 1


async def test_silence_is_counted_from_the_moment_of_waiting(account: Account) -> None:
    """A first item does not end it, a second does."""
    stream = account.open(7, "a", 5, "b")
    assert await first_of(stream) == "a"
    assert account.silence() == 7
    assert await first_of(stream) == "b"
    assert account.silence() == 0
    await stream.aclose()


async def test_a_rest_does_not_count_as_silence(account: Account) -> None:
    """Idle hours are a matter for canaries."""
    await read(account.open(1, "a", "b"))
    account.clock.now += 3600
    stream = account.open("a")
    assert await first_of(stream) == "a"
    assert account.silence() == 0
    await stream.aclose()


async def test_silence_adds_up_over_requests_that_are_given_up(account: Account) -> None:
    """One item and then nothing, user after user: none waits long, and none is served."""
    for nth in range(1, 5):
        stream = account.open("a", 30, FOREVER)
        await first_of(stream)
        reader = asyncio.ensure_future(first_of(stream))
        await asyncio.sleep(0)
        assert account.silence() == 30 * nth
        reader.cancel()
        await asyncio.wait([reader])
        account.clock.now += 1000


async def test_flow_forgives_all_earlier_silence(account: Account) -> None:
    """One good stream is enough."""
    await read(account.open(50))
    await read(account.open("a", "b"))
    stream = account.open(7, "a")
    await first_of(stream)
    assert account.silence() == 7
    await stream.aclose()


async def test_streams_side_by_side_share_one_silence(account: Account) -> None:
    """It begins with the first that waits, and any of them can end it."""
    traffic, clock = account.traffic, account.clock
    gates = [asyncio.Event(), asyncio.Event()]

    async def handler(gate: asyncio.Event) -> AsyncIterator[str]:
        yield "a"
        await gate.wait()
        yield "b"

    streams = [accounted(traffic, handler(gate)) for gate in gates]
    for stream in streams:
        await first_of(stream)
    waiting = [asyncio.ensure_future(first_of(stream)) for stream in streams]
    await asyncio.sleep(0)
    clock.now += 20
    assert account.load() == Load(120, 2, 100, newcomers=False)
    gates[0].set()
    await waiting[0]
    assert account.load() == Load(120, 1, 120, newcomers=False)
    gates[1].set()
    await waiting[1]
    for stream in streams:
        await stream.aclose()
    assert settled(traffic)


async def test_a_rest_that_was_told_is_not_told_again(account: Account) -> None:
    """An idle endpoint costs no evidence."""
    assert account.traffic.load(100, before=0) is None
    assert account.traffic.load(100, before=3) == Load(100, 0, 100, newcomers=False)
    stream = account.open("a", FOREVER)
    await first_of(stream)
    assert account.traffic.load(100, before=0) is None
    reader = asyncio.ensure_future(first_of(stream))
    await asyncio.sleep(0)
    assert account.traffic.load(100, before=0) == Load(100, 1, 100, newcomers=False)
    reader.cancel()
    await asyncio.wait([reader])


async def test_durations_fall_into_their_buckets(account: Account) -> None:
    """Upper bounds included, and one bucket beyond the last."""
    before = account.traffic.durations
    assert before is None
    for seconds in (0.005, 0.006, 120, 121):
        account.traffic.ended(seconds)
    counts = account.traffic.durations
    assert counts is not None
    assert len(counts) == len(BUCKETS) + 1
    assert (counts[0], counts[1], counts[-2], counts[-1]) == (1, 1, 1, 1)
    assert account.traffic.duration_sum == pytest.approx(241.011)


@given(st.lists(st.sampled_from(ENDS), max_size=8))
def test_whatever_way_streams_end_nothing_stays_in_the_account(ends: list[str]) -> None:
    """All at once, in any mixture."""

    async def one(account: Account, end: str) -> None:
        stream = account.open("a", "b", *((RuntimeError("x"),) if end == "raises" else ()))
        await first_of(stream)
        await asyncio.sleep(0)
        if end == "cancelled":
            raise asyncio.CancelledError
        if end in ("ends", "raises"):
            await read(stream)
        if end == "closed":
            await stream.aclose()

    async def run() -> Account:
        account = Account()
        await asyncio.gather(*(one(account, end) for end in ends), return_exceptions=True)
        await asyncio.get_running_loop().shutdown_asyncgens()
        return account

    account = asyncio.run(run())
    traffic = account.traffic
    assert settled(traffic)
    assert traffic.started == len(ends)
    assert traffic.finished == ends.count("ends")
    assert sum(traffic.errors.values()) == ends.count("raises")
    assert traffic.cancelled == len(ends) - traffic.finished - sum(traffic.errors.values())
    assert sum(traffic.durations or []) == len(ends)


def test_an_engine_is_blamed_for_what_it_does_not_say_is_the_users() -> None:
    """Engines raise ValueError for bad input, and timeouts are their own kind."""
    assert blame(ValueError()) is RequestFault.CLIENT
    assert blame(TimeoutError()) is RequestFault.TIMEOUT
    assert blame(OSError()) is RequestFault.TRANSPORT
    assert blame(Exception()) is RequestFault.SERVER


async def test_a_stream_without_a_first_item_may_be_why_all_are_silent(account: Account) -> None:
    """If it was there when the silence began, or came a moment later; not if it came after that."""
    going_on = account.open("a", "b", FOREVER)
    assert [await anext(going_on), await anext(going_on)] == ["a", "b"]
    waiting = asyncio.ensure_future(anext(going_on))
    await asyncio.sleep(0)
    account.clock.now += 1
    assert account.load().newcomers is False
    late = asyncio.ensure_future(anext(account.open(FOREVER)))
    await asyncio.sleep(0)
    assert account.load().newcomers is False
    for one in (waiting, late):
        one.cancel()
    await asyncio.gather(waiting, late, return_exceptions=True)
    assert account.traffic.expecting == {}
    first = asyncio.ensure_future(anext(account.open(FOREVER)))
    await asyncio.sleep(0)
    account.clock.now += 20
    assert account.load().newcomers is True
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
