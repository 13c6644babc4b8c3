"""Documents on their way: only the newest, never waiting, whatever happens at the other end."""

from __future__ import annotations

import marshal
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from serinus.status.outbox import WINDOW, Outbox
from serinus.status.process import layout

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The two ends of a channel; the first is the worker's."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.settimeout(0)
    with ours, theirs:
        yield ours, theirs


def receive(sock: socket.socket) -> list[tuple[Any, ...]]:
    """Take all messages, with the documents beside them put in."""
    messages: list[tuple[Any, ...]] = []
    while True:
        try:
            data, descriptors, _, _ = socket.recv_fds(sock, layout.MESSAGE_BYTES, 1)
        except BlockingIOError:
            return messages
        number, kind, head, content = marshal.loads(data)
        for descriptor in descriptors:
            content = os.pread(descriptor, 10_000_000, 0)
            os.close(descriptor)
        messages.append((number, kind, head, content))


def test_documents_wait_for_a_status_process(pair: Pair) -> None:
    """What was put before is sent on connecting, health first, and only the newest."""
    ours, theirs = pair
    outbox = Outbox()
    outbox.put(layout.METRICS, b"m")
    outbox.put(layout.HEALTH, b"old", (True,))
    outbox.put(layout.HEALTH, b"new", (False,))
    outbox.connect(ours, int)
    assert receive(theirs) == [
        (1, layout.HEALTH, (False,), b"new"),
        (2, layout.METRICS, None, b"m"),
    ]


def test_another_status_process_gets_everything(pair: Pair) -> None:
    """The next one is told all that the one before knew."""
    ours, theirs = pair
    outbox = Outbox()
    outbox.connect(ours, int)
    outbox.put(layout.DETAILS, b"{}")
    receive(theirs)
    outbox.disconnect()
    outbox.put(layout.METRICS, b"m")
    outbox.connect(ours, int)
    assert [message[1] for message in receive(theirs)] == [layout.DETAILS, layout.METRICS]


@pytest.mark.parametrize("size", [0, layout.INLINE_BYTES, layout.INLINE_BYTES + 1, 5_000_000])
def test_documents_of_any_size(pair: Pair, size: int) -> None:
    """Small ones travel in the message, large ones beside it, whole."""
    ours, theirs = pair
    outbox = Outbox()
    outbox.connect(ours, int)
    content = os.urandom(size)
    outbox.put(layout.METRICS, content)
    assert receive(theirs) == [(1, layout.METRICS, None, content)]


def test_it_tells_news_from_repetition(pair: Pair) -> None:
    """A document put twice is no news, and is sent twice: someone may wait for it."""
    ours, theirs = pair
    outbox = Outbox()
    outbox.connect(ours, int)
    assert outbox.put(layout.DETAILS, b"{}")
    assert not outbox.put(layout.DETAILS, b"{}")
    assert len(receive(theirs)) == 2


def test_a_status_process_that_takes_nothing_costs_nothing(pair: Pair) -> None:
    """Unread messages are few; then the newest document waits here, and goes when it can."""
    ours, theirs = pair
    outbox = Outbox()
    taken = 0
    outbox.connect(ours, lambda: taken)
    for number in range(1000):
        outbox.put(layout.HEALTH, b"%d" % number, (True,))
    messages = receive(theirs)
    assert len(messages) == WINDOW
    taken = messages[-1][0]
    outbox.flush()
    assert [message[3] for message in receive(theirs)] == [b"999"]


def test_a_full_channel_is_no_error(pair: Pair) -> None:
    """A channel without room delays documents, and never blocks."""
    ours, theirs = pair
    outbox = Outbox()
    outbox.connect(ours, lambda: sys.maxsize)
    for number in range(10_000):
        outbox.put(layout.HEALTH, b"%d" % number, (True,))
    received = []
    while messages := receive(theirs):
        received += messages
        outbox.flush()
    assert len(received) < 10_000
    assert received[-1][3] == b"9999"


@pytest.fixture
def deadly_sigpipe() -> Iterator[None]:
    """SIGPIPE ends the process, as in any program that is not Python."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGPIPE, before)


@pytest.mark.usefixtures("deadly_sigpipe")
def test_a_status_process_that_is_gone_is_no_error(pair: Pair) -> None:
    """A broken channel reaches nobody, and the next one gets the document."""
    ours, theirs = pair
    theirs.close()
    outbox = Outbox()
    outbox.connect(ours, int)
    assert outbox.put(layout.HEALTH, b"{}", (True,))
    outbox.flush()
    outbox.say_goodbye()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.settimeout(0)
    with ours, theirs:
        outbox.connect(ours, int)
        assert len(receive(theirs)) == 1


def test_goodbye(pair: Pair) -> None:
    """The last message closes the port."""
    ours, theirs = pair
    outbox = Outbox()
    outbox.connect(ours, int)
    outbox.say_goodbye()
    assert [message[1] for message in receive(theirs)] == [layout.CLOSE]
