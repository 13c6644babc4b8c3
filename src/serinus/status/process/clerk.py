"""From a request to the bytes that answer it: who may see what, each rendered once a turn."""

from __future__ import annotations

from _operator import _compare_digest

from serinus.status.process import layout, plan, wire
from serinus.status.process.board import Board
from serinus.status.process.plan import Plan, Routes
from serinus.status.process.telemetry import OTHER, Telemetry
from serinus.status.process.wire import Request

KNOWN_REQUESTS = 256
KNOWN_BYTES = 1024
GATHER_BYTES = 65536
"""A longer body is sent from where it lies, not copied behind its head."""
FIELDS = {
    plan.WRONG_METHOD: b"allow: GET,HEAD\r\n",
    plan.DASHBOARD: (
        b"content-security-policy: default-src 'none'; script-src 'unsafe-inline'; "
        b"style-src 'unsafe-inline'; connect-src 'self'; img-src data:; frame-ancestors 'none'\r\n"
        b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n"
    ),
}
"""What the heads of some answers say besides."""


class Answer:
    """An answer as it goes out: its bytes, how many, their counter, and whether it is the last."""

    __slots__ = ("counter", "last", "length", "parts")

    def __init__(self, parts: list[bytes], counter: list[int], *, last: bool) -> None:
        self.parts = parts
        self.length = sum(map(len, parts))
        self.counter = counter
        self.last = last


class Clerk:
    """Settles requests and renders answers."""

    def __init__(
        self,
        board: Board,
        routes: Routes,
        telemetry: Telemetry,
        *,
        details: str,
        token: bytes | None,
        dashboard: bytes = b"",
    ) -> None:
        self._board = board
        self._routes = routes
        self._telemetry = telemetry
        self._details = details
        self._token = token
        self._dashboard = dashboard
        self._known: dict[bytes, Plan] = {}
        self._answers: dict[int, Answer] = {}
        self._at_once: dict[bytes, Answer] = {}
        self.connections = 0
        """How many are open; the metrics tell."""

    def turn(self) -> None:
        """Begin a turn: nothing is rendered yet."""
        self._answers.clear()
        self._at_once.clear()

    def at_once(self, data: bytes) -> Answer | None:
        """Answer bytes that are exactly one request seen before, whoever it is that asks.

        None for all others, and where the answer depends on who asks or is made afresh.
        """
        found = self._at_once.get(data)
        if found is None:
            known = self._known.get(data)
            if known is None:
                return None
            found = self._at_once[data] = self.answer(known, local=False)
        return found

    def settle(self, request: Request, sole: bytes | None) -> Plan:
        """Make the plan for a request; `sole` are the bytes read, if they were it and no more."""
        settled = self._routes.settle(request, other=OTHER)
        if sole is not None and settled.repeatable and len(sole) <= KNOWN_BYTES:
            if len(self._known) >= KNOWN_REQUESTS:
                self._known.clear()
                self._at_once.clear()
            self._known[sole] = settled
        return settled

    def wish(self, settled: Plan, *, local: bool) -> int | None:
        """Which document the answer should be made from afresh, if any."""
        if settled.route == plan.METRICS:
            return layout.METRICS
        if settled.verbose and self._may_see_details(settled, local=local):
            return layout.DETAILS
        return None

    def answer(self, settled: Plan, *, local: bool) -> Answer:
        """Render the answer to a request, or take it from this turn's.

        Metrics are never taken from there: they count the answers that went out meanwhile.
        """
        verbose = settled.verbose and self._may_see_details(settled, local=local)
        key = ~settled.key if verbose else settled.key
        found = self._answers.get(key)
        if found is None:
            found = self._render(settled, verbose=verbose)
            if settled.route != plan.METRICS:
                self._answers[key] = found
        return found

    def refusal(self, status: int) -> Answer:
        """Render the answer to what is not a request."""
        body = wire.PHRASES[status]
        head = wire.head_of(status, length=len(body), media=wire.TEXT, persist=wire.CLOSE)
        return Answer([head + body], self._telemetry.answers(OTHER, status), last=True)

    def _may_see_details(self, settled: Plan, *, local: bool) -> bool:
        if self._details == "off":
            return False
        if self._token is not None and _compare_digest(settled.bearer or b"", self._token):
            return True
        # A proxy on this machine speaks for someone elsewhere, and says so.
        return self._details == "local" and local and not settled.forwarded

    def _render(self, settled: Plan, *, verbose: bool) -> Answer:
        status, media, front, tail = self._body(settled, verbose=verbose)
        # A dead worker's port is about to go to the next worker: nobody should hold on to it.
        persist = wire.CLOSE if self._board.dead else settled.persist
        head = wire.head_of(
            status,
            length=len(front) + len(tail),
            media=media,
            persist=persist,
            fields=self._fields(settled),
        )
        if settled.head:
            parts = [head]
        elif len(tail) <= GATHER_BYTES:
            parts = [head + front + tail]
        else:
            parts = [head + front, tail]
        counter = self._telemetry.answers(settled.label, status)
        return Answer(parts, counter, last=persist == wire.CLOSE)

    def _fields(self, settled: Plan) -> bytes:
        probe = settled.route in (plan.HEALTH, plan.LIVE)
        if probe and self._board.impaired(live=settled.route == plan.LIVE):
            return wire.DEGRADED
        return FIELDS.get(settled.route, b"")

    def _body(self, settled: Plan, *, verbose: bool) -> tuple[int, bytes, bytes, bytes]:
        if settled.route == plan.MISSING:
            return 404, wire.TEXT, b"Route not found", b""
        if settled.route == plan.WRONG_METHOD:
            return 405, b"", b"", b""
        if settled.route == plan.DASHBOARD:
            return 200, wire.HTML, self._dashboard, b""
        if settled.route == plan.METRICS:
            status, front, tail = self._board.metrics(self.connections)
            return status, wire.PROMETHEUS if status == 200 else wire.TEXT, front, tail
        render = self._board.verbose if verbose else self._board.health
        status, front, tail = render(live=settled.route == plan.LIVE)
        return status, wire.JSON, front, tail
