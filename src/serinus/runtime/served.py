"""An endpoint while it is served: what the board asks, and the account of users' requests.

They go through a handler, or through somebody else who keeps the account.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from sys import intern
from types import MappingProxyType
from typing import Any
from zlib import crc32

from serinus.core.address import EndpointAddress
from serinus.core.evidence import (
    CanaryPassed,
    CanaryUnknown,
    Evidence,
    Load,
    Progress,
    RequestFailed,
)
from serinus.core.transcript import Transcript
from serinus.errors import LifecycleError
from serinus.runtime.board import Board, Watched
from serinus.runtime.canary import ask_handler, examine_handler
from serinus.runtime.context import Context
from serinus.runtime.prompts import size_of
from serinus.runtime.target import Answer, Source
from serinus.runtime.traffic import Traffic, accounted

__all__ = ["Served"]


_NONE: Mapping[str, dict[str, Any]] = MappingProxyType({})


class Served(Source):
    """One address, from its registration to its withdrawal.

    A canary is the `payload` through the handler, or what `question` does; without both there is
    none. `exams` are greedy requests by name, whose answers are examined: what an item of them
    brings `said` tells, if it is of no usual shape. `graceful`: draining waits for its requests.
    Without a handler nothing is streamed.
    """

    __slots__ = (
        "_address",
        "_board",
        "_exams",
        "_handler",
        "_payload",
        "_question",
        "_said",
        "_takes_context",
        "graceful",
        "labels",
        "model",
        "surface",
        "traffic",
        "watched",
    )

    def __init__(
        self,
        board: Board,
        address: EndpointAddress,
        handler: Callable[..., AsyncIterator[Any]] | None,
        *,
        takes_context: bool = False,
        payload: dict[str, Any] | None = None,
        question: Callable[[], Awaitable[Answer]] | None = None,
        graceful: bool,
        labels: tuple[tuple[str, str], ...],
        degraded_policy: str | None = None,
        exams: Mapping[str, dict[str, Any]] | None = None,
        said: Callable[[Any], Transcript] | None = None,
    ) -> None:
        self._address = address
        self._board = board
        self._exams = exams or _NONE
        self._said = said
        self._handler = handler
        self._takes_context = takes_context
        self._payload = payload
        self._question = question
        self.graceful = graceful
        self.labels = labels
        self.model = ""
        """The model that it serves to users, as they call it; empty if that is not said."""
        self.surface = ""
        """Which requests of OpenAI's API the handler takes."""
        self.traffic = Traffic(board.clock, self._witness)
        self.watched: Watched = board.watch(
            address,
            self,
            payload=payload is not None or question is not None,
            degraded_policy=degraded_policy,
        )

        if payload is not None:
            board.identify(self.watched, intern(f"library, payload {_digest(payload)}"))
        if self._exams:
            board.examine(self.watched, self._examine, prompts=tuple(self._exams))
        self.traffic.measured = self.watched.gauge

    def stream(self, request: Any, context: Context) -> AsyncGenerator[Any, None]:
        """Send a user's request through the handler, and keep the account of it."""
        return accounted(self.traffic, self._answer(request, context), size_of(request))

    def _answer(self, request: Any, context: Context) -> AsyncIterator[Any]:
        if self._handler is None:
            raise LifecycleError(f"endpoint {self.watched.address} has no handler to stream from")
        return self._handler(request, context) if self._takes_context else self._handler(request)

    @property
    def has_handler(self) -> bool:
        """Whether requests can be sent through it."""
        return self._handler is not None

    @property
    def payload(self) -> Mapping[str, Any] | None:
        """The canary's request, if it goes through the handler."""
        return self._payload

    def canary(self, request: Any, context: Context) -> AsyncIterator[Any]:
        """Send a canary of somebody else through the handler: it is in no account."""
        return self._answer(request, context)

    async def ask(self) -> Answer:
        """Send a canary."""
        on_top = self.watched.target.standing.busy
        if self._question is not None:
            answer = await self._question()
        else:
            answer = await ask_handler(self._answer, self._payload or {}, self._board.clock)
        if not on_top:
            return answer
        return tuple(  # it says nothing of the work that it was sent on top of
            one._replace(flow=False) if isinstance(one, CanaryPassed) else one for one in answer
        )

    async def _examine(self) -> Answer:
        from serinus.runtime.transcribing import said_in  # noqa: PLC0415 - only who examines pays

        examiner, traffic = self.watched.examiner, self.traffic
        if examiner is None:
            return await self.ask()
        started, busy = traffic.started, traffic.in_flight > 0
        evidence, said = await examine_handler(
            self._answer,
            self._exams[examiner.prompt],
            self._board.clock,
            said=said_in if self._said is None else self._said,
            first_within=self.watched.target.rules.deadline + examiner.first,
            rest_within=examiner.rest,
        )
        cost = sum(one.tokens for one in evidence if isinstance(one, CanaryPassed))
        lost = next((one.detail for one in evidence if isinstance(one, CanaryUnknown)), None)
        if lost is not None:
            examiner.refused(lost)
        elif said is None:
            examiner.missed(tokens=cost)
            examiner.put_off(2 * self.watched.target.rules.idle)  # an ordinary canary comes between
        else:
            examiner.heard(said, alone=not (busy or traffic.in_flight or traffic.started > started))
        return evidence

    def look(self, now: float, /) -> tuple[Evidence, ...]:
        """Return what users' requests have shown since the last look."""
        load = self.traffic.load(now, before=self.watched.target.standing.pending)
        progress = self.traffic.progress()
        if load is None:
            return () if progress is None else (progress,)
        return (load,) if progress is None else (load, progress)

    def glance(self, now: float, /) -> float | None:
        """Return when users' requests last went on."""
        return self.traffic.glance(now)

    def alerted(self, alert: bool, /) -> None:  # noqa: FBT001 - a call's only word
        """Have each good chunk told at once, or no more."""
        traffic, board = self.traffic, self._board
        standing = board.endpoints[self._address].target.standing
        was_alert = traffic.alert
        if alert or was_alert or standing.blind_since is not None:
            traffic.unsettled_at = board.clock()
        traffic.unsettled_at = max(traffic.unsettled_at, standing.lease_until)
        if alert is not was_alert:
            traffic.alert = alert

    def _witness(self, evidence: Progress | Load | RequestFailed) -> None:
        watched = self.watched
        if self._board.endpoints.get(watched.address) is not watched:
            return  # withdrawn, or served anew by another handler
        if not isinstance(evidence, RequestFailed):
            self._board.tell(watched.target, evidence)
        elif not watched.target.standing.suspect:  # one is enough until it has been asked about
            # after a look, or it would be judged by how long ago the last one was
            self._board.tell(watched.target, *self.look(evidence.at), evidence)


def _digest(payload: dict[str, Any]) -> str:
    """Tell one payload from another: a model has its own."""
    return f"{crc32(repr(payload).encode()):08x}"
