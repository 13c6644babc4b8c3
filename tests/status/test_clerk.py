"""Who may see details, and what is rendered when."""

from __future__ import annotations

import json

import pytest

from serinus.status.process import layout
from serinus.status.process.board import Board
from serinus.status.process.clerk import KNOWN_BYTES, KNOWN_REQUESTS, Clerk
from serinus.status.process.plan import Routes
from serinus.status.process.telemetry import Telemetry
from serinus.status.process.wire import parse_head


def make(details: str = "local", token: bytes | None = None) -> tuple[Clerk, Board]:
    """A clerk with a board of its own."""
    telemetry = Telemetry()
    board = Board(
        memoryview(bytearray(layout.PAGE_BYTES)).cast("Q"),
        worker=1,
        loop_stall=5.0,
        loop_budget=60.0,
        live_follows_ready=False,
        telemetry=telemetry,
    )
    board.turn(1)
    routes = Routes(health=b"/health", live=b"/live")
    return Clerk(board, routes, telemetry, details=details, token=token), board


def sees_details(clerk: Clerk, *headers: bytes, local: bool, path: bytes = b"/live") -> bool:
    """Whether a request for details gets them, and would wait for fresh ones."""
    head = b"\r\n".join((b"GET " + path + b"?verbose HTTP/1.1", *headers))
    plan = clerk.settle(parse_head(head), None)
    body = b"".join(clerk.answer(plan, local=local).parts).partition(b"\r\n\r\n")[2]
    seen = "details" in json.loads(body)
    assert (clerk.wish(plan, local=local) == layout.DETAILS) is seen
    return seen


TOKEN = b"Authorization: Bearer secret"
WRONG = b"Authorization: Bearer secreT"
PROXY = b"X-Forwarded-For: 1.2.3.4"


@pytest.mark.parametrize(
    ("details", "local", "headers", "seen"),
    [
        ("local", True, (), True),
        ("local", False, (), False),
        ("local", True, (PROXY,), False),
        ("local", False, (TOKEN,), True),
        ("local", True, (PROXY, TOKEN), True),
        ("local", True, (WRONG,), True),
        ("local", False, (WRONG,), False),
        ("token", True, (), False),
        ("token", True, (TOKEN,), True),
        ("token", False, (TOKEN,), True),
        ("token", True, (WRONG,), False),
        ("token", True, (b"Authorization: Basic secret",), False),
        ("off", True, (TOKEN,), False),
    ],
)
def test_who_sees_details(
    details: str, headers: tuple[bytes, ...], *, local: bool, seen: bool
) -> None:
    """Loopback and unix sockets, or the token; a proxy on this machine is not this machine."""
    clerk, _ = make(details, token=b"secret")
    assert sees_details(clerk, *headers, local=local) is seen


def test_an_empty_token_opens_nothing() -> None:
    """Without a token configured, no header is one."""
    clerk, _ = make("token", token=None)
    assert not sees_details(clerk, b"Authorization: Bearer ", local=True)


def test_strangers_and_friends_in_one_turn_get_their_own() -> None:
    """An answer with details, rendered first, is not handed to a stranger afterwards."""
    clerk, _ = make()
    assert sees_details(clerk, local=True)
    assert not sees_details(clerk, local=False)
    assert sees_details(clerk, local=True)


def test_one_turn_one_rendering() -> None:
    """Equal requests of one turn share an answer; the next turn renders anew."""
    clerk, board = make()
    plan = clerk.settle(parse_head(b"GET /health HTTP/1.1"), None)
    other = clerk.settle(parse_head(b"GET /health?x HTTP/1.1\r\nHost: a"), None)
    first = clerk.answer(plan, local=True)
    assert clerk.answer(other, local=True) is first
    board.turn(2)
    clerk.turn()
    assert clerk.answer(plan, local=True) is not first


@pytest.mark.parametrize(
    "heads",
    [
        (b"GET /health HTTP/1.1", b"HEAD /health HTTP/1.1"),
        (b"GET /health HTTP/1.1", b"GET /live HTTP/1.1"),
        (b"GET /health HTTP/1.1", b"GET /health HTTP/1.1\r\nConnection: close"),
        (b"POST /health HTTP/1.1", b"POST /live HTTP/1.1"),
    ],
)
def test_what_differs_is_rendered_apart(heads: tuple[bytes, bytes]) -> None:
    """Nothing that changes an answer, or its counter, is lost in sharing it."""
    clerk, _ = make()
    first, second = (
        clerk.answer(clerk.settle(parse_head(head), None), local=True) for head in heads
    )
    assert first is not second
    assert first.parts != second.parts or first.counter is not second.counter


def test_metrics_are_never_shared() -> None:
    """They count the answers that went out meanwhile, so each scrape is rendered."""
    clerk, _ = make()
    plan = clerk.settle(parse_head(b"GET /metrics HTTP/1.1"), None)
    assert clerk.answer(plan, local=True) is not clerk.answer(plan, local=True)


def remembered(clerk: Clerk, *heads: bytes) -> list[bytes]:
    """Which of these requests are answered at once."""
    return [head for head in heads if clerk.at_once(head) is not None]


def test_what_was_seen_before_is_answered_at_once() -> None:
    """Equal bytes get the answer that equal requests get, and in the next turn a new one."""
    clerk, board = make()
    head = b"GET /health HTTP/1.1"
    assert not remembered(clerk, head)
    plan = clerk.settle(parse_head(head), head)
    assert clerk.at_once(head) is clerk.at_once(head) is clerk.answer(plan, local=True)
    first = clerk.at_once(head)
    board.turn(2)
    clerk.turn()
    assert clerk.at_once(head) is not first
    assert clerk.at_once(head) is clerk.answer(plan, local=True)


def test_known_requests_are_bounded() -> None:
    """However many different requests come, few of them are remembered, and no large ones."""
    clerk, _ = make()
    heads = [b"GET /health?%d HTTP/1.1" % number for number in range(3 * KNOWN_REQUESTS)]
    for head in heads:
        clerk.settle(parse_head(head), head)
        assert remembered(clerk, head)
    assert len(remembered(clerk, *heads)) <= KNOWN_REQUESTS
    large = b"GET /health?" + b"x" * KNOWN_BYTES + b" HTTP/1.1"
    clerk.settle(parse_head(large), large)
    assert not remembered(clerk, large)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\n" + TOKEN,
        b"GET /health HTTP/1.1\r\nContent-Length: 4",
        b"GET /health HTTP/1.1\r\nTransfer-Encoding: chunked",
        b"GET /health?verbose HTTP/1.1",
        b"GET /metrics HTTP/1.1",
    ],
)
def test_what_depends_on_more_than_its_bytes_is_not_remembered(head: bytes) -> None:
    """A token is not kept; bodies, details and metrics are looked at each time."""
    clerk, _ = make()
    clerk.settle(parse_head(head), head)
    assert not remembered(clerk, head)


def test_a_dead_workers_answers_end_the_connection() -> None:
    """Nobody holds on to a port that is about to change hands."""
    clerk, board = make()
    board.worker_died()
    answer = clerk.answer(clerk.settle(parse_head(b"GET /live HTTP/1.1"), None), local=True)
    assert answer.last
    assert b"connection: close" in answer.parts[0]
