"""The service's loop, turn by turn: its faults, its want of descriptors, its small rules."""

from __future__ import annotations

import marshal
import os
import socket
from collections.abc import Iterator
from errno import ECONNABORTED, EMFILE
from select import EPOLLIN
from time import monotonic_ns

import pytest

from serinus.status.process import layout, service
from serinus.status.process.board import Board
from serinus.status.process.clerk import Answer, Clerk
from serinus.status.process.connection import Connection, Stages
from serinus.status.process.plan import Plan, Routes
from serinus.status.process.post import Post
from serinus.status.process.service import Service, is_local, remaining
from serinus.status.process.telemetry import Telemetry
from serinus.status.process.wishes import Wishes
from tests.status.probe import Client, Response

pytestmark = pytest.mark.real_time


class FaultyClerk(Clerk):
    """Makes a mistake about liveness."""

    def answer(self, settled: Plan, *, local: bool) -> Answer:
        """Fail on `/live`."""
        if settled.label == "/live":
            raise ZeroDivisionError("a fault of ours")
        return super().answer(settled, local=local)


class Listener:
    """A listening socket that can be made to fail."""

    def __init__(self) -> None:
        self.real = socket.create_server(("127.0.0.1", 0))
        self.real.settimeout(0)
        self.family = self.real.family
        self.failures: list[int] = []

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.real.fileno()

    def _accept(self) -> tuple[int, object]:
        if self.failures:
            number = self.failures.pop(0)
            raise OSError(number, os.strerror(number))
        accepted, peer = self.real.accept()
        return accepted.detach(), peer


class Bench:
    """A service in this process, whose turns the test takes."""

    def __init__(self) -> None:
        self.listener = Listener()
        self.address = f"http://127.0.0.1:{self.listener.real.getsockname()[1]}"
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.theirs = theirs
        self.worker = os.pidfd_open(os.getpid())
        self.bell = os.eventfd(0, os.EFD_NONBLOCK)
        self.telemetry = Telemetry()
        words = memoryview(bytearray(layout.PAGE_BYTES)).cast("Q")
        board = Board(
            words,
            worker=os.getpid(),
            loop_stall=5.0,
            loop_budget=60.0,
            live_follows_ready=False,
            telemetry=self.telemetry,
        )
        self.service = Service(
            listener=self.listener,  # type: ignore[arg-type]
            post=Post(theirs, words, board),
            worker=self.worker,
            board=board,
            clerk=FaultyClerk(
                board,
                Routes(health=b"/health", live=b"/live"),
                self.telemetry,
                details="local",
                token=None,
            ),
            wishes=Wishes(words, self.bell, board),
            telemetry=self.telemetry,
            linger=1.0,
            max_connections=10,
            header_bytes=1000,
            header_timeout=5.0,
            idle_timeout=5.0,
        )
        self.service._listen()
        self.service._poll.register(theirs.fileno(), EPOLLIN)
        self.told = 0

    def turn(self) -> None:
        """Take one turn, after events that are already there."""
        self.service._turn(self.service._poll.poll(0.5, 64))

    def tell(self, *, ready: bool) -> None:
        """Let the worker say how it is."""
        self.told += 1
        head = (ready, True, True, "told", False)
        self.ours.send(marshal.dumps((self.told, layout.HEALTH, head, b"{}")))

    def ask(self, client: Client) -> Response:
        """Ask for `/health` in a turn of its own."""
        client.send(b"GET /health HTTP/1.1\r\n\r\n")
        self.turn()
        return client.receive()

    def close(self) -> None:
        """Close everything."""
        for connection in list(self.service._connections.values()):
            self.service._drop(connection)
        self.service._poll.close()
        self.listener.real.close()
        self.ours.close()
        self.theirs.close()
        os.close(self.worker)
        os.close(self.bell)

    def evicted(self, why: str) -> int:
        """How many connections were closed for this reason."""
        return self.telemetry._evicted[why]


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A service that listens."""
    bench = Bench()
    yield bench
    bench.close()


def test_a_fault_costs_one_connection(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """What we do wrong is told once in a while, and ends the connection it happened to."""
    with Client(bench.address) as one, Client(bench.address) as other:
        bench.turn()
        for client in (one, other):
            client.send(b"GET /live HTTP/1.1\r\n\r\n")
        bench.turn()
        assert one.closed_within(1.0)
        assert other.closed_within(1.0)
    assert bench.evicted("fault") == 2
    assert capsys.readouterr().err.count("ZeroDivisionError: a fault of ours") == 1
    with Client(bench.address) as third:
        bench.turn()
        third.send(b"GET /health HTTP/1.1\r\n\r\n")
        bench.turn()
        assert third.receive().status == 503


def test_without_descriptors_an_idle_connection_goes(bench: Bench) -> None:
    """The newcomer gets the descriptor of who can be spared best."""
    with Client(bench.address) as old:
        bench.turn()
        bench.listener.failures = [EMFILE]
        with Client(bench.address) as newcomer:
            bench.turn()
            assert old.closed_within(1.0)
            newcomer.send(b"GET /health HTTP/1.1\r\n\r\n")
            bench.turn()
            assert newcomer.receive().status == 503
    assert bench.evicted("limit") == 1


def test_without_anything_to_spare_it_waits(bench: Bench) -> None:
    """With no descriptor to be had it does not spin, and listens again at the next sweep."""
    bench.listener.failures = [EMFILE]
    with Client(bench.address) as newcomer:
        bench.turn()
        assert bench.service._poll.poll(0) == []
        bench.turn()  # half a second later
        bench.turn()
        newcomer.send(b"GET /health HTTP/1.1\r\n\r\n")
        bench.turn()
        assert newcomer.receive().status == 503


def test_a_caller_that_hung_up_before_we_picked_up(bench: Bench) -> None:
    """It is passed over."""
    bench.listener.failures = [ECONNABORTED]
    with Client(bench.address) as client:
        bench.turn()
        client.send(b"GET /health HTTP/1.1\r\n\r\n")
        bench.turn()
        assert client.receive().status == 503


def test_a_look_is_shared_for_a_millisecond(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load the worker is looked at, and the answer rendered, once in a millisecond."""
    now = monotonic_ns()
    monkeypatch.setattr(service, "monotonic_ns", lambda: now)
    with Client(bench.address) as client:
        bench.turn()
        first, second = (bench.ask(client).body for _ in range(2))
        assert second == first
        now += service.LOOK_NS
        assert bench.ask(client).body != first


def test_news_count_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However short ago the last look was: what the worker has said is in the next answer."""
    now = monotonic_ns()
    monkeypatch.setattr(service, "monotonic_ns", lambda: now)
    with Client(bench.address) as client:
        bench.turn()
        for ready in (True, False, True):
            bench.tell(ready=ready)
            assert bench.ask(client).status == (200 if ready else 503)


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        (("127.0.0.1", 1), True),
        (("127.8.9.1", 1), True),
        (("::1", 1, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), True),
        ("", True),
        (("10.0.0.1", 1), False),
        (("::ffff:10.0.0.1", 1, 0, 0), False),
        (("fe80::1", 1, 0, 0), False),
    ],
)
def test_who_is_local(peer: object, *, local: bool) -> None:
    """Loopback of either family, and unix sockets."""
    assert is_local(peer) is local


@pytest.mark.parametrize("sent", range(7))
def test_what_is_left_of_an_answer(sent: int) -> None:
    """Wherever a send stopped, the rest is the rest, and nothing is copied."""
    parts = [memoryview(b"ab"), memoryview(b"cde"), memoryview(b"f")]
    left = remaining(parts, sent)
    assert b"".join(left) == b"abcdef"[sent:]
    assert all(len(part) for part in left)


def test_stages_know_who_is_overdue_and_who_can_be_spared() -> None:
    """The longest idle goes first, then who is slow; nobody twice."""
    stages = Stages(header=1.0, idle=2.0, write=3.0, wait=0.1)
    pairs = [socket.socketpair() for _ in range(4)]
    try:
        fresh, idle, writer, waiter = (Connection(pair[0], local=True, mask=0) for pair in pairs)
        stages.enter(waiter, stages.waiting, 0)
        stages.enter(writer, stages.writing, 1)
        stages.enter(idle, stages.idle, 2)
        stages.enter(fresh, stages.reading, 3)
        assert stages.reading.overdue(1_000_000_003) == []
        assert stages.reading.overdue(1_000_000_004) == [fresh]
        order = []
        while (spared := stages.most_dispensable()) is not None:
            order.append(spared)
            stages.leave(spared)
        assert order == [idle, fresh, writer, waiter]
    finally:
        for pair in pairs:
            for sock in pair:
                sock.close()
