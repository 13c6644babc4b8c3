"""The loop of the status process: sockets in, answers out, everything bounded.

One turn: wait for events, take what the worker says, answer. Requests of one millisecond share one
look at the worker and one rendering, unless news come between, so that under load a probe costs
little more than two system calls. A client that is slow, silent or hostile costs a connection, and
the most dispensable one makes room for the next.
"""

from __future__ import annotations

import sys
from _socket import SHUT_WR, SOCK_STREAM, socket
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM
from select import EPOLLIN, EPOLLOUT, epoll
from time import monotonic_ns

from serinus.status.process.board import Board
from serinus.status.process.clerk import Answer, Clerk
from serinus.status.process.connection import Connection, Stages
from serinus.status.process.plan import Plan
from serinus.status.process.post import Post
from serinus.status.process.telemetry import Telemetry
from serinus.status.process.wire import Inbox, MalformedError
from serinus.status.process.wishes import PATIENCE, Wishes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TICK = 0.5
"""Seconds between turns when nothing happens."""
TICK_NS = int(TICK * 1e9)
LOOK_NS = 1_000_000
"""For so long a look at the worker is good, unless there is news of it."""
EVENTS_A_TURN = 64
ACCEPTS_A_TURN = 64
REQUESTS_A_TURN = 32
"""Of one connection that sends many at once: others come between."""
READ_BYTES = 8192
DRAIN_BYTES = 16 << 20
WRITE_SECONDS = 10.0
NO_ROOM = frozenset((EMFILE, ENFILE, ENOBUFS, ENOMEM))


class Service:
    """Accepts, reads, answers and closes connections until the worker is gone."""

    def __init__(
        self,
        *,
        listener: socket,
        post: Post,
        worker: int,
        board: Board,
        clerk: Clerk,
        wishes: Wishes,
        telemetry: Telemetry,
        linger: float,
        max_connections: int,
        header_bytes: int,
        header_timeout: float,
        idle_timeout: float,
    ) -> None:
        self._listener = listener
        self._listening = False
        self._post = post
        self._worker = worker
        self._board = board
        self._clerk = clerk
        self._wishes = wishes
        self._telemetry = telemetry
        self._linger_ns = int(linger * 1e9)
        self._max_connections = max_connections
        self._header_bytes = header_bytes
        self._stages = Stages(
            header=header_timeout, idle=idle_timeout, write=WRITE_SECONDS, wait=PATIENCE
        )
        self._connections: dict[int, Connection] = {}
        self._again: list[Connection] = []
        self._poll = epoll()
        self._now = monotonic_ns()
        self._looked = 0
        self._swept = self._now
        self._reported = 0
        self._end: int | None = None

    def run(self) -> None:
        """Serve until the worker closes the port, or has been dead for the linger time."""
        self._poll.register(self._post.fileno(), EPOLLIN)
        self._poll.register(self._worker, EPOLLIN)
        self._turn([(self._post.fileno(), EPOLLIN)])
        self._listen()
        self._post.greet()
        while not self._post.closed and (self._end is None or self._now < self._end):
            self._turn(self._poll.poll(self._pause(), EVENTS_A_TURN))
        for connection in list(self._stages.waiting.values()):
            self._attend(self._answer_at_last, connection)

    # A turn

    def _turn(self, events: list[tuple[int, int]]) -> None:
        self._now = now = monotonic_ns()
        callers = dict(events)
        news = self._post.fileno() in callers or self._worker in callers
        if news or now - self._looked >= LOOK_NS:
            self._looked = now
            self._board.turn(now)
            self._clerk.turn()
        self._clerk.connections = len(self._connections)
        # What the worker says, and that it died, counts before what others ask.
        if self._post.fileno() in callers:
            self._hear()
        if self._worker in callers:
            self._poll.unregister(self._worker)
            self._mourn()
        again, self._again = self._again, []
        for connection in again:
            if connection.stage is self._stages.idle:
                self._attend(self._pump, connection)
        self._serve(events)
        # New connections come last: a descriptor closed above may be one of theirs.
        if self._listener.fileno() in callers:
            self._accept()
        if self._stages.waiting:
            for connection in self._stages.waiting.overdue(now):
                self._attend(self._answer_at_last, connection)
        if now - self._swept >= TICK_NS:
            self._sweep()

    def _pause(self) -> float:
        """Seconds until the next turn is due without any event."""
        if self._again:
            return 0.0
        due = self._now + TICK_NS
        for connection in self._stages.waiting.values():
            due = connection.since + self._stages.waiting.limit
            break
        if self._end is not None:
            due = min(due, self._end)
        return max(0, due - self._now) / 1e9

    def _serve(self, events: list[tuple[int, int]]) -> None:
        """Read from those who have sent something, and write to those who have room again."""
        for descriptor, mask in events:
            connection = self._connections.get(descriptor)
            if connection is not None:
                try:
                    if mask & EPOLLOUT:
                        self._flush(connection)
                    else:
                        self._read(connection)
                except Exception as error:  # noqa: BLE001 - as in `_attend`, without its call
                    self._fail(connection, error)

    def _attend(self, act: Callable[[Connection], None], connection: Connection) -> None:
        """Do something for a connection; a fault of ours costs it, and not the process."""
        try:
            act(connection)
        except Exception as error:  # noqa: BLE001 - reported, as a crash would be
            self._fail(connection, error)

    def _fail(self, connection: Connection, error: Exception) -> None:
        self._drop(connection, "fault")
        if self._now - self._reported > TICK_NS:
            self._reported = self._now
            sys.excepthook(type(error), error, error.__traceback__)

    # The worker

    def _hear(self) -> None:
        kinds = self._post.collect()
        if self._post.lost:
            self._poll.unregister(self._post.fileno())
            self._mourn()
        for connection in list(self._stages.waiting.values()):
            wish = connection.plan and self._clerk.wish(connection.plan, local=connection.local)
            if wish in kinds:
                self._attend(self._answer_at_last, connection)

    def _mourn(self) -> None:
        """The worker is gone: say so for a while, to everyone, then leave the port free."""
        self._board.worker_died()
        if self._end is None:
            self._end = self._now + self._linger_ns

    # Connections

    def _listen(self) -> None:
        self._poll.register(self._listener.fileno(), EPOLLIN)
        self._listening = True

    def _accept(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                descriptor, peer = self._listener._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in NO_ROOM and not self._evict():
                    self._poll.unregister(self._listener.fileno())  # until the next sweep
                    self._listening = False
                    return
                continue  # that caller hung up before we picked up
            while len(self._connections) >= self._max_connections:
                self._evict()
            sock = socket(self._listener.family, SOCK_STREAM, 0, descriptor)
            sock.settimeout(0)
            connection = Connection(sock, local=is_local(peer), mask=EPOLLIN)
            self._connections[descriptor] = connection
            self._stages.enter(connection, self._stages.reading, self._now)
            self._poll.register(descriptor, EPOLLIN)

    def _evict(self) -> bool:
        victim = self._stages.most_dispensable()
        if victim is not None:
            self._drop(victim, "limit")
        return victim is not None

    def _sweep(self) -> None:
        now = self._swept = self._now
        for connection in self._stages.reading.overdue(now):
            if connection.inbox is None:
                self._drop(connection, "header_timeout")
            else:
                self._telemetry.evicted("header_timeout")
                self._attend(self._refuse_slowness, connection)
        for stage in (self._stages.idle, self._stages.writing, self._stages.draining):
            for connection in stage.overdue(now):
                self._drop(connection, stage.why)
        if not self._listening:
            self._listen()

    def _drop(self, connection: Connection, why: str = "") -> None:
        if connection.stage is None:
            return
        if why:
            self._telemetry.evicted(why)
        self._stages.leave(connection)
        del self._connections[connection.fd]
        connection.sock.close()

    def _watch(self, connection: Connection, mask: int) -> None:
        if connection.mask != mask:
            connection.mask = mask
            self._poll.modify(connection.fd, mask)

    # In

    def _read(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        if connection.inbox is None:
            answer = self._clerk.at_once(data)
            if answer is not None:
                self._send(connection, answer)
                return
            connection.inbox = Inbox(self._header_bytes)
            connection.inbox.feed(data)
            self._pump(connection, data)
        elif connection.stage is self._stages.draining:
            connection.drained += len(data)
            if connection.drained > DRAIN_BYTES:
                self._drop(connection)
        else:
            connection.inbox.feed(data)
            self._pump(connection)

    def _pump(self, connection: Connection, sole: bytes | None = None) -> None:
        """Answer what the connection has sent, as far as it is complete."""
        inbox = connection.inbox
        if inbox is None:
            return
        for _ in range(REQUESTS_A_TURN):
            try:
                request = inbox.next()
            except MalformedError as error:
                self._send(connection, self._clerk.refusal(error.status))
                return
            if request is None:
                if not inbox:
                    connection.inbox = None
                elif connection.stage is not self._stages.reading:
                    self._stages.enter(connection, self._stages.reading, self._now)
                self._watch(connection, EPOLLIN)
                return
            plan = self._clerk.settle(request, None if inbox else sole)
            if not inbox and not plan.has_body:
                connection.inbox = None
            self._take(connection, plan)
            if connection.stage is not self._stages.idle:
                return
            connection.inbox = inbox
            sole = None
        self._watch(connection, 0)
        self._again.append(connection)

    # Out

    def _take(self, connection: Connection, plan: Plan) -> None:
        """Answer a request, now or when a fresh document has come."""
        wish = self._clerk.wish(plan, local=connection.local)
        if wish is not None and self._wishes.worth_waiting(wish, self._now):
            connection.plan = plan
            self._stages.enter(connection, self._stages.waiting, self._now)
            self._watch(connection, 0)
        else:
            self._send(connection, self._clerk.answer(plan, local=connection.local))

    def _answer_at_last(self, connection: Connection) -> None:
        plan, connection.plan = connection.plan, None
        if plan is not None:
            self._watch(connection, EPOLLIN)
            self._send(connection, self._clerk.answer(plan, local=connection.local))
            if connection.stage is self._stages.idle:
                self._pump(connection)

    def _send(self, connection: Connection, answer: Answer) -> None:
        answer.counter[0] += 1
        parts = answer.parts
        try:
            if len(parts) == 1:
                sent = connection.sock.send(parts[0])
            else:
                sent = connection.sock.sendmsg(parts)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        if sent == answer.length:
            if answer.last:
                self._part(connection)
            else:
                self._stages.enter(connection, self._stages.idle, self._now)
        else:
            connection.pending = remaining([memoryview(part) for part in parts], sent)
            connection.last = answer.last
            self._stages.enter(connection, self._stages.writing, self._now)
            self._watch(connection, EPOLLOUT)

    def _flush(self, connection: Connection) -> None:
        try:
            sent = connection.sock.sendmsg(connection.pending)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
            return
        connection.pending = remaining(connection.pending, sent)
        if not connection.pending:
            self._watch(connection, EPOLLIN)
            if connection.last:
                self._part(connection)
            else:
                self._stages.enter(connection, self._stages.idle, self._now)
                self._pump(connection)

    def _part(self, connection: Connection) -> None:
        """Close a connection whose last answer is on its way."""
        if connection.inbox is None:
            self._drop(connection)
        else:
            # More may be on its way. Closing now would reset the connection, and the client might
            # lose the answer: say goodbye, and throw away what comes for a moment (RFC 9112, 9.6).
            try:
                connection.sock.shutdown(SHUT_WR)
            except OSError:
                self._drop(connection)
                return
            self._stages.enter(connection, self._stages.draining, self._now)
            self._watch(connection, EPOLLIN)

    def _refuse_slowness(self, connection: Connection) -> None:
        self._send(connection, self._clerk.refusal(408))


def remaining(parts: list[memoryview], sent: int) -> list[memoryview]:
    """Return what is left of `parts` after `sent` bytes of them."""
    for index, part in enumerate(parts):
        if sent < len(part):
            return [part[sent:], *parts[index + 1 :]]
        sent -= len(part)
    return []


def is_local(peer: object) -> bool:
    """Whether a peer's address is this machine's loopback, or a unix socket's."""
    if not isinstance(peer, tuple):
        return True
    host = str(peer[0])
    return host == "::1" or host.startswith(("127.", "::ffff:127."))
