from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.engines.sse import SseEvent, SseReader

LINES = [
    b"data: a",
    b"data:b",
    b"data:  two",
    b"data",
    b": comment",
    b"event: error",
    b"event:",
    b"error: {}",
    b"id: 1",
    b"retry: 5",
    b"<html>",
    b"\xef\xbb\xbfdata: x",
    b"\xff\xfe",
    b"data: " + b"y" * 40,
    b"",
]
ENDS = [b"\n", b"\r", b"\r\n"]
streams = st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(ENDS)), max_size=20).map(
    lambda lines: b"".join(line + end for line, end in lines)
) | st.binary(max_size=200)


def outcome(parts: list[bytes], *, limit: int = 1 << 20) -> tuple[list[SseEvent], bool, str]:
    reader = SseReader(limit=limit)
    events = [event for part in parts for event in reader.feed(part)]
    return [*events, *reader.end()], reader.overflowed, reader.stray


@given(
    stream=streams,
    cuts=st.lists(st.integers(0, 400), max_size=12),
    limit=st.sampled_from([1 << 20, 30, 5]),
)
def test_any_division_gives_the_same_events(stream: bytes, cuts: list[int], limit: int) -> None:
    """Where the pieces end says nothing: not inside a CRLF, a character or a line too long."""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    parts = [stream[start:end] for start, end in pairwise(edges)]
    assert outcome(parts, limit=limit) == outcome([stream], limit=limit)


@pytest.mark.parametrize("end", ENDS)
def test_every_line_end_of_the_standard_ends_a_line(end: bytes) -> None:
    """LF, CR and CRLF."""
    stream = end.join([b"data: a", b"data: b", b"", b"data: c", b"", b""])
    assert outcome([stream])[0] == [SseEvent("a\nb"), SseEvent("c")]


def test_a_cr_dispatches_at_once() -> None:
    """The event does not wait for a byte that may never come."""
    reader = SseReader()
    assert reader.feed(b"data: a\r\r") == [SseEvent("a")]
    assert reader.feed(b"\n") == []
    assert reader.feed(b"data: b\r\n\r\n") == [SseEvent("b")]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"\xef\xbb\xbfdata: a\n\n", [SseEvent("a")]),
        (b"data:a\n\n", [SseEvent("a")]),
        (b"data:  a\n\n", [SseEvent(" a")]),
        (b"data\n\n", [SseEvent("")]),
        (b"event: error\ndata: x\n\ndata: y\n\n", [SseEvent("x", "error"), SseEvent("y")]),
        (b"event: error\n\ndata: y\n\n", [SseEvent("y")]),
        (b": ping\n\n: ping\n\n", []),
        (b"id: 1\nretry: 3\ndata: x\n\n", [SseEvent("x")]),
        (b"data: \xff\n\n", [SseEvent("\ufffd")]),
        (b"\n\n\n", []),
        (b"error: {}\n\n", [SseEvent("{}", "error")]),
        (b"data: [DONE]", [SseEvent("[DONE]")]),
        (b"data: [DONE]\n", [SseEvent("[DONE]")]),
    ],
)
def test_a_stream_is_read_as_the_standard_has_it(stream: bytes, events: list[SseEvent]) -> None:
    """Fields, comments, the byte order mark; the last two are habits of engines."""
    assert outcome([stream]) == (events, False, "")


def test_a_line_that_is_no_field_is_kept_to_be_shown() -> None:
    """The first one, cut short: it tells noise from silence."""
    stray = outcome([b"data: a\n\n<html>" + b"x" * 500 + b"\nmore\n"])[2]
    assert stray.startswith("<html>x")
    assert len(stray) == 200


@pytest.mark.parametrize(
    "stream",
    [b"data: a\n\ndata: " + b"x" * 100, b"data: a\n\n" + b"data: 12345\n" * 10 + b"\n"],
    ids=["a long line", "a long event"],
)
def test_a_flood_is_stopped_at_the_bound(stream: bytes) -> None:
    """The events before it stand; what follows is not read, and not kept."""
    reader = SseReader(limit=50)
    assert reader.feed(stream) == [SseEvent("a")]
    assert reader.overflowed
    assert reader.feed(b"\n\ndata: b\n\n") == []
    assert reader.end() == []


def test_the_bound_itself_is_inside() -> None:
    """A line and an event of exactly the limit are read."""
    assert outcome([b"data: 1234\n\n"], limit=10) == ([SseEvent("1234")], False, "")
    assert outcome([b"data: 12345\n\n"], limit=10)[1]


def test_nothing_fed_is_nothing_seen() -> None:
    """An empty piece between CR and LF does not part them."""
    reader = SseReader()
    assert reader.feed(b"data: a\r") == []
    assert reader.feed(b"") == []
    assert reader.feed(b"\n\r\n") == [SseEvent("a")]
