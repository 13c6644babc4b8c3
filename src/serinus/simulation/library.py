"""The real library over simulated engines: the board, its manager, and endpoints being served.

Real are the board, the manager with its one scheduler, the reading of a handler's stream, the
account of traffic and the core. Simulated are the handler's engine and its users. The one shortcut:
users' chunks do not pass through the account one by one; what they would have left in it is
computed whenever somebody looks, and told at once where the real account would tell at once
(failed requests always, chunks while the endpoint is in doubt).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from itertools import chain
from math import inf
from operator import attrgetter
from typing import Any

from serinus.core.address import EndpointAddress
from serinus.core.evidence import Evidence, Lease, Progress, RequestFault
from serinus.core.rules import Rules
from serinus.core.verdict import Standing
from serinus.runtime.board import Board, Watched
from serinus.runtime.context import Context
from serinus.runtime.prompts import Prompt
from serinus.runtime.served import Served
from serinus.runtime.target import Answer, HealthCheckTarget, Source
from serinus.runtime.traffic import Traffic
from serinus.simulation.engine import Fate, Request, SimulatedEngine
from serinus.simulation.faults import Fault, Window
from serinus.simulation.record import Record

__all__ = ["SimulatedEndpoint"]

_PAYLOAD = {"token_ids": [1], "_HEALTH_CHECK": True}
_EXAMS = {name: {"prompt": name, "_HEALTH_CHECK": True} for name in ("one", "two", "three")}
_ANSWER = 24
"""Tokens of the answer to one of them, which take no longer than the first: a simplification."""
_TOLD = frozenset({Fault.ERROR, Fault.ERROR_ITEM, Fault.EMPTY, Fault.CRASH})
"""Faults that users' requests meet as an error, and tell of."""
_TOKENS = Fate.TOKENS  # looked up once: an enumeration takes its time to find a member
_GONE = (Fate.REFUSED, Fate.DROPPED)
_FAILED = frozenset({Fate.ERROR, Fate.ERROR_ITEM, Fate.REFUSED, Fate.DROPPED})
_SPOILERS = (Fault.LOST_ANSWER, Fault.LATE_ANSWER)
_SOON = 0.005
_ENDS = attrgetter("ends")
_NOW_AND_THEN = 0.1
"""Seconds between chunks of requests going on that are told of while an endpoint is in doubt."""
_LATE = 1.2
"""Deadlines after which a late answer arrives."""


class EngineDeadError(Exception):
    """By this name engines say that they are gone."""


class SimulatedEndpoint(Source):
    """One endpoint whose handler is a simulated engine. Call `serve` on the running loop."""

    target: HealthCheckTarget
    """What the manager watches, once it is served."""
    _watched: Watched
    _traffic: Traffic
    _real: Source
    """What the library made of it: asked, and looked at, as the manager would."""

    def __init__(self, engine: SimulatedEngine, board: Board, record: Record, name: str) -> None:
        self.engine = engine
        self.record = record
        self._board = board
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._in_flight = 0
        self.written: Standing | None = None
        """Of how it stood the record tells last."""
        self._flaws: Mapping[str, str] | None = None
        self._token: asyncio.TimerHandle | None = None
        self._told = -inf
        """When a chunk was told of last."""
        self._beginning: asyncio.TimerHandle | None = None
        self._spoilt: set[Window] = set()
        self._spoilers = any(window.fault in _SPOILERS for window in engine.windows)
        self._gone: deque[float] = deque(maxlen=64)
        """When the first and the last token came of those who left of late."""
        self._gone_at = -inf
        """The latest of these."""

    def serve(self) -> None:
        """Put it on the board, and plan what will be told without being asked."""
        served = Served(
            self._board,
            EndpointAddress.parse(f"simulation.{self._name}.generate"),
            self._generate,
            takes_context=True,
            payload=_PAYLOAD,
            graceful=True,
            labels=(),
            exams=_EXAMS,
        )
        self._watched, self._traffic = served.watched, served.traffic
        self.target = target = served.watched.target
        self._real, target.source = target.source, self
        self.engine.arrived, self.engine.left = self._arrived, self._left
        for window in self.engine.windows:
            if window.fault in _TOLD:
                self._loop.call_at(window.start + _SOON, self._failing, window)
            elif window.fault is Fault.PAUSE:
                self._loop.call_at(window.start, self._lease, window.end)
                self._loop.call_at(window.end, self._lease, window.end)

    def changed(self) -> None:
        """Write down what the board says of it now."""
        target, watched, before = self.target, self._watched, self.written
        alike = before is not None and _alike(before, target.standing, target.rules)
        if alike and watched.flaws is self._flaws:
            self.written = target.standing
        else:
            self._write(watched)

    def _write(self, watched: Watched) -> None:
        now, board, record = self._loop.time(), self._board, self.record
        at = now - self.engine.began
        self.written, self._flaws = self.target.standing, watched.flaws
        health = watched.health()
        record.turned(record.ready, at, good=health.ready, why=str(health.reason))
        record.turned(record.whole, at, good=not health.degraded, why=", ".join(health.degraded))
        liveness = board.system.liveness((health,), board.readiness([health]), now=now)
        record.turned(record.live, at, good=liveness.live, why=str(liveness.reason))
        falls = board.system.falls_at((health,), now=now)
        if falls is not None:
            self._loop.call_at(falls + 1e-6, self._write, watched)

    # --- the handler -------------------------------------------------------------------------

    def ask(self) -> Coroutine[Any, Any, Answer]:
        """Send a canary."""
        return self._real.ask()

    async def _generate(self, asked: Any, _context: Context) -> AsyncIterator[Any]:
        """Answer a canary, or an exam: the same answer each time, unless it is garbage."""
        request = None
        self._in_flight += 1
        self.record.most_in_flight = max(self.record.most_in_flight, self._in_flight)
        try:
            if self._spoilers:
                await self._spoil(self._loop.time())
            request = self.engine.ask(self._loop.time())
            if request.bad:
                await self._until(request.ends)
                if request.fate is Fate.ERROR:
                    raise RuntimeError("the engine cannot answer this")
                if request.fate is Fate.ERROR_ITEM:
                    yield {"finish_reason": "error: the engine failed"}
                return
            if request.first < request.ends or request.fate is _TOKENS:
                await self._until(request.first)
                yield {"token_ids": [7]}
                if "prompt" in asked:
                    garbage = self.engine.on(self._loop.time(), Fault.GARBAGE) is not None
                    first = sum(map(ord, asked["prompt"]))
                    yield {"token_ids": [0 if garbage else first + n for n in range(_ANSWER)]}
            if request.ends > self._loop.time():
                await self._until(request.ends)
            if request.fate in _GONE:
                raise EngineDeadError("the engine's core is gone")
        finally:
            self._in_flight -= 1
            if request is not None:
                self.engine.abort(request, self._loop.time())

    async def _spoil(self, now: float) -> None:
        """Lose or delay the answer to the first canary of a window of that kind."""
        window = self.engine.on(now, *_SPOILERS)
        if window is None or window in self._spoilt:
            return
        self._spoilt.add(window)
        lost = window.fault is Fault.LOST_ANSWER
        await self._until(inf if lost else now + _LATE * self.target.rules.deadline)

    async def _until(self, at: float) -> None:
        if at == inf:
            await self._loop.create_future()
        elif (left := at - self._loop.time()) > 0:
            await asyncio.sleep(left)

    # --- users -------------------------------------------------------------------------------

    def _arrived(self, request: Request) -> None:
        traffic = self._traffic
        traffic.started += 1
        traffic.in_flight += 1
        traffic.expecting[id(request)] = Prompt(request.arrived, request.prompt)
        traffic.waits(request.arrived)

    def _left(self, request: Request) -> None:
        traffic, engine, at = self._traffic, self.engine, request.ends
        tokens = request.tokens
        flowed_at = engine.came_at(request, tokens, at)
        flowed = ((request, flowed_at),)
        if traffic.awaiting == 1:
            self._hole(flowed)
        self._chunks(flowed, at)
        self._gone.append(request.first)
        self._gone.append(flowed_at)
        newest = flowed_at if flowed_at > request.first else request.first
        if self._gone_at < newest < inf:
            self._gone_at = newest
        traffic.expecting.pop(id(request), None)
        traffic.awaiting -= 1
        if not traffic.awaiting:
            traffic.idle_since = at
        traffic.in_flight -= 1
        if request.fate is _TOKENS:
            traffic.finished += 1
            traffic.went_well(at)
            self._measure(request)
        elif request.fate is Fate.GIVEN_UP:
            traffic.cancelled += 1
        elif request.fate is Fate.EMPTY:
            traffic.brought_nothing()
        elif request.fate in _FAILED:
            traffic.failed(RequestFault.SERVER, str(request.fate), stream=id(request))
        traffic.chunks += tokens
        traffic.ended(at - request.arrived)

    def _measure(self, request: Request) -> None:
        traffic, tokens = self._traffic, request.tokens
        if traffic.measured is not None and request.arrived > traffic.unsettled_at:
            gap = (request.last - request.first) / (tokens - 1) if tokens > 1 else None
            first, load = request.first - request.arrived, traffic.in_flight + 1
            traffic.measured.request(first, gap, load)

    def _chunks(self, flowed: Iterable[tuple[Request, float]], at: float) -> None:
        """Leave in the account what requests' chunks would have left."""
        traffic = self._traffic
        for request, flowed_at in flowed:
            first = request.first
            if first > at:
                continue
            if flowed_at > first and flowed_at > traffic.flow_at:
                traffic.flow_at = flowed_at
            if first > traffic.first_at:
                traffic.first_at = first
            waited = traffic.expecting.pop(id(request), None) is not None
            if waited and request.arrived > traffic.unsettled_at:
                traffic.prompts.read(request.prompt, first - self._silent_from(request))

    def _silent_from(self, begun: Request) -> float:
        """Return since when nothing else had come as a request brought its first token."""
        engine, first, silent_from = self.engine, begun.first, begun.arrived
        enough = first - begun.gap  # closer is as good: a reading of no time
        gone = self._gone if self._gone_at > silent_from else ()
        others = (engine.flowed_at(one, first) for one in engine.active if one.first < first)
        for at in chain(gone, others):
            if silent_from < at < first:
                silent_from = at
                if at > enough:
                    break
        return silent_from

    def _hole(self, flowed: Iterable[tuple[Request, float]]) -> None:
        """Leave in the account how long nothing had gone on when something did again.

        Only the first hole since the last look is found: the learned silences are rather too short.
        """
        traffic = self._traffic
        silent = max(traffic.flow_at, traffic.waiting_since)
        ends = [
            max(request.first, silent) + request.gap
            for request, flowed_at in flowed
            if flowed_at > silent and flowed_at > request.first
        ]
        if ends:
            traffic.widest = max(traffic.widest, min(ends) - silent)

    def _sync(self, now: float) -> None:
        engine = self.engine
        engine.advance(now)
        flowed = self._flowed(now)
        if flowed:
            self._hole(flowed)
            self._chunks(flowed, now)

    def _flowed(self, now: float) -> list[tuple[Request, float]]:
        """Find when the newest token came of all requests that began since the last look.

        And of those before them, up to one that went on all the time: the others say no more.
        """
        engine, traffic = self.engine, self._traffic
        begun = [one for one in engine.active if one.first <= now and not one.canary]
        if not begun:
            return []
        expecting, flowed_at = traffic.expecting, engine.flowed_at
        flowed = []
        if expecting:
            flowed = [(one, flowed_at(one, now)) for one in begun if id(one) in expecting]
        if len(flowed) == len(begun):
            return flowed
        silent = max(traffic.flow_at, traffic.waiting_since)
        for one in begun:
            if id(one) not in expecting:
                at = flowed_at(one, now)
                flowed.append((one, at))
                if one.first <= silent and at > now - one.gap:
                    break
        return flowed

    def look(self, now: float, /) -> Iterable[Evidence]:
        """Let the account be what it would be now, and look at it."""
        self._traffic.known = True  # or what came since the last look would be told, and late
        self._sync(now)
        seen = self._real.look(now)
        if not self._traffic.known and self._beginning is None:
            self._await_users()
        return seen

    def glance(self, now: float, /) -> float | None:
        """Find until when work goes on, which is known: a look meanwhile would tell no more."""
        engine = self.engine
        engine.advance(now)
        begun = [one for one in engine.active if one.first + one.gap <= now and not one.canary]
        while begun:
            request = max(begun, key=_ENDS)
            goes_on = engine.goes_on_until(request, now)
            if goes_on > now - 2 * request.gap:
                return goes_on
            begun.remove(request)
        return None

    def _await_users(self) -> None:
        at = self.engine.next_arrival()
        if at < inf:
            self._beginning = self._loop.call_at(at + 1e-6, self._begins)

    def _begins(self) -> None:
        """Let the next user's request come, which tells of itself if it is the only one."""
        self._beginning = None
        self._sync(self._loop.time())
        if not self._traffic.known:
            self._await_users()

    def alerted(self, alert: bool, /) -> None:  # noqa: FBT001 - a call's only word
        """Have chunks told at once, or no more."""
        self._real.alerted(alert)
        if alert and self._token is None:
            self._arm()
        elif not alert and self._token is not None:
            self._token.cancel()
            self._token = None

    def _arm(self) -> None:
        """Plan to tell of the next chunk: of first ones at once, of others now and then."""
        now, engine = self._loop.time(), self.engine
        soon = self._told + _NOW_AND_THEN
        goes_on = max(engine.next_token(now, soon=soon), soon)
        at = min(goes_on, engine.next_first(now), engine.next_arrival())
        self._token = None
        if at < inf:
            self._token = self._loop.call_at(max(at, now) + 1e-6, self._chunk)

    def _chunk(self) -> None:
        """Tell of a chunk, as long as the endpoint is in doubt."""
        self._token = None
        traffic, now = self._traffic, self._loop.time()
        before, flowed = traffic.seen_at, traffic.flow_at
        self._sync(now)
        seen_at = traffic.seen_at
        if seen_at > before and seen_at > traffic.told_at and traffic.alert:
            self._told = now
            traffic.told_at = seen_at
            flow = traffic.flow_at > flowed
            traffic.witness(Progress(seen_at, flow=flow, began_at=traffic.first_at))
        if traffic.alert and self._token is None:
            self._arm()

    def _failing(self, window: Window) -> None:
        """Let the requests fail that do so by now, each at its time."""
        now = self._loop.time()
        self._sync(now)
        following = max(self.engine.next_arrival(), now) + _SOON
        if following < window.end:
            self._loop.call_at(following, self._failing, window)

    def _lease(self, until: float) -> None:
        now = self._loop.time()
        self._board.tell(self.target, Lease(now, until, "a planned pause"))


def _alike(before: Standing, after: Standing, rules: Rules) -> bool:
    """Whether both come to the same, readiness and liveness, at whatever time."""
    if after.verdict is not before.verdict or (after.died is None) is not (before.died is None):
        return False
    return after.hangs_at(rules) == before.hangs_at(rules)
