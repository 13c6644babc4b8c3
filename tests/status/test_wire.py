"""Reading requests: what is understood, what is refused, and that nothing grows or crashes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.status.process import wire
from serinus.status.process.wire import Inbox, MalformedError, Request, parse_head

LIMIT = 300


def read(data: bytes, *, limit: int = LIMIT) -> Request | None:
    """Feed one piece and take the first request."""
    inbox = Inbox(limit)
    inbox.feed(data)
    return inbox.next()


def test_a_plain_request() -> None:
    """Method, path and query are told apart, and the connection stays."""
    request = read(b"GET /health?x=1?2 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert request is not None
    assert (request.method, request.path, request.query) == (b"GET", b"/health", b"x=1?2")
    assert request.persist == wire.STAY
    assert not request.has_body
    assert not request.verbose


@pytest.mark.parametrize(
    ("head", "persist"),
    [
        (b"GET / HTTP/1.1", wire.STAY),
        (b"GET / HTTP/1.1\r\nConnection: keep-alive", wire.STAY),
        (b"GET / HTTP/1.1\r\nConnection: close", wire.CLOSE),
        (b"GET / HTTP/1.1\r\nCONNECTION:\tFoo ,  Close ", wire.CLOSE),
        (b"GET / HTTP/1.1\r\nConnection: foo\r\nConnection: close", wire.CLOSE),
        (b"GET / HTTP/1.0", wire.CLOSE),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive", wire.STAY_AND_SAY_SO),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive, close", wire.CLOSE),
        (b"POST / HTTP/1.1\r\nContent-Length: 3", wire.CLOSE),
        (b"POST / HTTP/1.1\r\nContent-Length: 0", wire.STAY),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked", wire.CLOSE),
    ],
)
def test_whether_the_connection_stays(head: bytes, persist: int) -> None:
    """HTTP/1.1 stays, HTTP/1.0 goes, unless they say otherwise; a body ends the connection."""
    assert parse_head(head).persist == persist


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://10.0.0.1:9090/health", b"/health"),
        (b"http://10.0.0.1", b"/"),
        (b"*", b"*"),
        (b"/a%20b", b"/a%20b"),
    ],
)
def test_forms_of_targets(target: bytes, path: bytes) -> None:
    """A proxy sends the absolute form; percent signs are left as they are."""
    assert parse_head(b"GET " + target + b" HTTP/1.1").path == path


@pytest.mark.parametrize(
    ("query", "verbose"),
    [
        (b"verbose", True),
        (b"verbose=1", True),
        (b"x&verbose=true", True),
        (b"verbose=", True),
        (b"", False),
        (b"verbose=0", False),
        (b"verbose=False", False),
        (b"verboser", False),
        (b"x=verbose", False),
    ],
)
def test_when_details_are_asked_for(query: bytes, *, verbose: bool) -> None:
    """`?verbose` asks for details, in any usual spelling of yes."""
    assert parse_head(b"GET /health?" + query + b" HTTP/1.1").verbose is verbose


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (b"Bearer abc", b"abc"),
        (b"bearer   abc", b"abc"),
        (b"Bearer", b""),
        (b"Basic abc", None),
        (b"abc", None),
    ],
)
def test_the_bearer_token(value: bytes, token: bytes | None) -> None:
    """Only the bearer scheme counts, in any case."""
    assert parse_head(b"GET / HTTP/1.1\r\nAuthorization: " + value).bearer == token


@pytest.mark.parametrize("name", [b"Forwarded", b"Via", b"X-Forwarded-For", b"x-real-ip"])
def test_a_forwarded_request_is_noticed(name: bytes) -> None:
    """A proxy that says so speaks for somebody else."""
    assert parse_head(b"GET / HTTP/1.1\r\n" + name + b": 1").forwarded


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (b" GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\n\n", 400),
        (b"GET / HTTP/1.1\r\nA: 1\nB: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: 1\rB: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: \0\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\n\r\n", 400),
        (b"G@T / HTTP/1.1\r\n\r\n", 400),
        (b"GET health HTTP/1.1\r\n\r\n", 400),
        (b"GET / FTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/11\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: nameless\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA : space\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /" + b"a" * LIMIT, 431),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * LIMIT + b"\r\n\r\n", 431),
    ],
)
def test_what_is_refused(data: bytes, status: int) -> None:
    """Each kind of bad request has its code, and is refused as soon as it is known to be bad."""
    with pytest.raises(MalformedError) as caught:
        read(data)
    assert caught.value.status == status


@pytest.mark.parametrize("cut", range(len(b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n")))
def test_a_request_may_come_in_pieces(cut: int) -> None:
    """Wherever it is cut, nothing is answered before the end, and then it is whole."""
    data = b"GET /a HTTP/1.1\r\nHost: b\r\n\r\n"
    inbox = Inbox(LIMIT)
    inbox.feed(data[:cut])
    assert inbox.next() is None
    inbox.feed(data[cut:])
    request = inbox.next()
    assert request is not None
    assert request.path == b"/a"
    assert len(inbox) == 0


def test_pipelined_requests_come_one_by_one() -> None:
    """Several requests in one piece are taken in order; empty lines between them are skipped."""
    inbox = Inbox(LIMIT)
    inbox.feed(b"\r\nGET /1 HTTP/1.1\r\n\r\n\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3")
    taken = [inbox.next(), inbox.next(), inbox.next()]
    assert [request and request.path for request in taken] == [b"/1", b"/2", None]
    assert len(inbox) == len(b"GET /3")


@given(pieces=st.lists(st.binary(max_size=400), max_size=8))
def test_any_bytes_are_read_or_refused(pieces: list[bytes]) -> None:
    """No bytes crash the reader, and none make it keep more than its limit and one piece."""
    inbox = Inbox(LIMIT)
    for piece in pieces:
        inbox.feed(piece)
        try:
            while inbox.next() is not None:
                pass
        except MalformedError as error:
            wire.head_of(error.status, length=0, media=b"", persist=wire.CLOSE)
            return
        assert len(inbox) <= LIMIT


PARTS = st.sampled_from(
    [
        b"GET ",
        b"HEAD ",
        b"/health",
        b"?verbose",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\0",
        b":",
        b" ",
        b"Content-Length: 1",
        b"Connection: close",
        b"Authorization: Bearer x",
        b"a" * 150,
    ]
)


@given(parts=st.lists(PARTS, max_size=12))
def test_near_requests_are_read_or_refused(parts: list[bytes]) -> None:
    """The same for bytes that look like requests."""
    test_any_bytes_are_read_or_refused.hypothesis.inner_test(parts)  # type: ignore[attr-defined]


@given(parts=st.lists(PARTS, max_size=12), cuts=st.lists(st.integers(1, 40), max_size=12))
def test_pieces_do_not_matter(parts: list[bytes], cuts: list[int]) -> None:
    """The same requests are read however the bytes are cut."""
    data = b"".join(parts)
    assert _read_all([data]) == _read_all(_cut(data, cuts))


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    pieces = []
    for length in cuts:
        pieces.append(data[:length])
        data = data[length:]
    return [*pieces, data]


def _read_all(pieces: list[bytes]) -> list[tuple[bytes, bytes, int]]:
    """All that is read before a refusal; a refusal may come earlier when pieces are larger."""
    inbox = Inbox(10_000)
    taken = []
    for piece in pieces:
        inbox.feed(piece)
        try:
            while (request := inbox.next()) is not None:
                taken.append((request.method, request.path, request.persist))
        except MalformedError:
            break
    return taken


def test_the_head_of_an_answer() -> None:
    """Status line, type, length, what is allowed, what becomes of the connection, in order."""
    head = wire.head_of(405, length=0, media=b"", persist=wire.CLOSE, fields=b"allow: GET,HEAD\r\n")
    assert head == (
        b"HTTP/1.1 405 Method Not Allowed\r\nallow: GET,HEAD\r\ncontent-length: 0\r\n"
        b"connection: close\r\n\r\n"
    )
    head = wire.head_of(200, length=7, media=wire.JSON, persist=wire.STAY)
    assert head == (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n"
    )
