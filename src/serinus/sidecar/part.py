"""What is judged of an engine: the whole of it, or one of its ranks. It is asked, and told of.

The manager asks (`ask`). What is common to all parts of an engine is in `Shared`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from serinus.core.address import EndpointAddress
from serinus.core.evidence import (
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    CanaryUnknown,
    Evidence,
    Load,
    Loading,
    Phase,
    Progress,
    Spent,
    Tick,
    Witness,
)
from serinus.core.pacing import on_top_at
from serinus.core.performance import load_at
from serinus.core.verdict import Standing
from serinus.core.witnesses import Words
from serinus.engines import Engine, Pace
from serinus.engines.capabilities import Transcribes
from serinus.runtime.agenda import SLACK
from serinus.runtime.board import Board, Watched
from serinus.runtime.examiner import Examiner
from serinus.runtime.target import Answer, Asked
from serinus.sidecar.asker import Asker, Within, outcome_of_trouble
from serinus.sidecar.book import Book, busy_pace
from serinus.sidecar.client import EngineClient
from serinus.sidecar.contact import ContactError
from serinus.sidecar.credentials import Credentials
from serinus.sidecar.doubt import Doubts
from serinus.sidecar.hearer import Hearer
from serinus.sidecar.ledger import Seen
from serinus.sidecar.life import Stage
from serinus.sidecar.pace import Pacer
from serinus.sidecar.presence import Presence
from serinus.sidecar.weighing import Weighing, unknown_model

__all__ = ["Part", "Shared"]

logger = logging.getLogger("serinus")

_LOOK_SHARE = 0.2
"""The part of a canary's deadline that the look before it may take."""
_SPAN = 5
"""Readings under users' work that one measure of its pace is taken from, at the least."""
_TURN_SHARE = 0.25
"""And the part in which it may wait for another question of ours to be over."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the parts of one engine have in common.

    `has_page` and `scrape` are of its metrics page: `scrape` takes the seconds that it may last,
    and says whether there was a reading. `silent` is called when a canary keeps silent for half of
    its time, `another` when another engine may be answering. `degraded_policy` is the settings' if
    None.
    """

    engine: Engine
    board: Board
    client: EngineClient
    credentials: Credentials
    presence: Presence
    hearer: Hearer
    has_page: Callable[[], bool]
    scrape: Callable[[float], Awaitable[bool]]
    silent: Callable[[], None]
    another: Callable[[], None]
    clock: Callable[[], float]
    degraded_policy: str | None = None


class Part:
    """One part of an engine, on the board at `address`; `rank` is None of the whole.

    `watched` is its place there, if it has one already; who put it there passes `ask` on. `notes`
    are those of the page alone if None.
    """

    def __init__(
        self,
        shared: Shared,
        book: Book,
        address: EndpointAddress,
        *,
        rank: int | None = None,
        watched: Watched | None = None,
        notes: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        settings = shared.board.settings
        self.rank = rank
        self.book = book
        book.heard = self.heard
        self.watched = watched or shared.board.watch(
            address,
            Asked(self.ask, excuse=shared.client.line.excuse),
            payload=True,
            notes=notes or self.notes,
            degraded_policy=shared.degraded_policy,
        )
        self.judged = self.watched.target
        self._examiner: Examiner | None = None
        if isinstance(shared.engine, Transcribes):
            self._examiner = shared.board.examine(self.watched, self.examine)
        self.given_way = False
        """Whether others are judged in its place."""
        self._shared = shared
        self._model = settings.model
        self._told: int | None = None
        self._settled_at = float("-inf")
        stall = settings.health_check_busy_stall
        pace = busy_pace(interval=settings.scrape_interval, stall=stall)
        self._pacer = Pacer(shared.engine.traits.pace, span=_SPAN * pace)
        self._asking = asyncio.Lock()
        self._asker = Asker(
            shared.engine, shared.client, book, shared.credentials, rank=rank, clock=shared.clock
        )
        self._weighing = Weighing(shared.presence, stall=stall)
        self.doubts = Doubts(
            self.judged,
            shared.engine,
            hearer=shared.hearer,
            presence=shared.presence,
            book=book,
            asker=self._asker,
            asking=self._asking,
            spent=self.tell,
            passed=self.tell,
            heard=self.tell,
            worked=self._worked,
            health_interval=settings.engine_health_check_interval,
            clock=shared.clock,
        )

    @property
    def standing(self) -> Standing:
        """What is remembered of it."""
        return self.judged.standing

    def forget(self) -> None:
        """Begin again, with another engine."""
        self._asker.forget()
        self._weighing.forget()
        if self._examiner is not None:
            self._examiner.restarted()
        self._told = None
        self._pacer.forget()

    def inherit(self, standing: Standing) -> None:
        """Take over what was believed of the whole, and be asked at once."""
        spent = self.judged.standing.spent
        self.judged.standing = standing._replace(suspect=True, words=Words(), spent=spent)
        self.tell(Tick(self._shared.clock()))

    def tell(self, *evidence: Evidence) -> None:
        """Bring evidence."""
        self._shared.board.tell(self.judged, *evidence)

    # --- what the page says --------------------------------------------------------------------

    def heard(self, seen: Seen) -> None:
        """Tell what a reading says of users."""
        presence = self._shared.presence
        if seen.anew:
            self.tell(CanaryUnknown(seen.at, "the engine's counters began anew: another engine?"))
        if seen.progress:
            if presence.life.stage is Stage.LOADING:
                presence.proven()
            self.tell(Progress(seen.at, Witness.COUNTERS, flow_at=seen.flow_at))
        pending = seen.pending
        if not self.book.believed and self.standing.busy:
            logger.warning(
                "%s: the metrics page stands still while canaries pass: it is not believed",
                self.watched.address,
            )
            pending = 0  # so that canaries are sent: they alone can tell now
        self.tell_load(seen.at, pending)
        self._measure(seen)

    def _measure(self, seen: Seen) -> None:
        """Measure the pace of users' work, while all is as it should be."""
        gauge, reading = self.watched.gauge, self.book.reading
        if gauge is None or reading is None:
            return
        settled, self._settled_at = self._settled(self._settled_at), seen.at
        if not settled:
            self._pacer.forget()
            return
        counters, began, at = reading
        for one in self._pacer.read(counters, began=began, at=at, busy=bool(seen.pending)):
            if one.running is None:
                gauge.pace(one.gap)
            else:
                gauge.pace_at(one.gap, one.running)

    def _settled(self, since: float) -> bool:
        """Whether nothing has been unusual since then: no doubt, no outage, no planned pause."""
        standing = self.standing
        verdict = standing.verdict
        return (
            verdict.ready
            and verdict.since <= since
            and standing.lease_until <= since
            and not standing.suspected
            and standing.asleep is None
            and standing.blind_since is None
            and self.book.believed
        )

    def tell_load(self, at: float, pending: int | None) -> None:
        """Tell of users' work in flight, if it is another number than before."""
        if pending is None:
            self._pacer.lost()
        if pending != self._told:
            self._told = pending
            self.tell(self._load(at, pending))

    def _load(self, at: float, pending: int | None) -> Load:
        traits, seen = self._shared.engine.traits, self.book.last
        told = traits.chunked or (traits.pieces and seen is not None and seen.steady)
        newcomers = False if told else None
        return Load(at, pending, witness=Witness.COUNTERS, newcomers=newcomers)

    def _worked(self, at: float) -> None:
        """Take in that work in flight goes on, though no counter shows it yet."""
        pending = self.standing.pending
        self.tell(self._load(at, pending)._replace(flow_at=at))

    # --- asking ------------------------------------------------------------------------------

    async def ask(self) -> Answer:
        """Ask for one token, unless a look shows that there is no point in it."""
        async with self._turn() as ours:
            if not ours:
                return self._not_asked()
            return await self._looked_first() or await self._put_question()

    async def examine(self) -> Answer:
        """Ask for the answer to a fixed prompt, unless there is no point in it."""
        async with self._turn() as ours:
            pointless = await self._looked_first() if ours else self._not_asked()
            if pointless and self._examiner is not None:
                self._examiner.put_off(self.judged.rules.retry)
            return pointless or await self._put_exam()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[bool]:
        """Wait for another question of ours to be over; says whether there is time left for one."""
        try:
            async with asyncio.timeout(self.judged.rules.deadline * _TURN_SHARE):
                await self._asking.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            self._asking.release()

    def _not_asked(self) -> Answer:
        """Say that nothing was sent: the time was ours, and is held against nobody."""
        return (CanaryUnknown(self._shared.clock(), "another question of ours was under way"),)

    async def _looked_first(self) -> Answer:
        """Say why there is no point in a question now; nothing if there is."""
        shared, presence = self._shared, self._shared.presence
        if not presence.askable() or presence.life.closed:
            await presence.knock()
        if not presence.askable() or presence.life.closed:
            return self._not_yet()
        if presence.life.stage is not Stage.DEAD and shared.has_page():
            known = await shared.scrape(self.judged.rules.deadline * _LOOK_SHARE)
            seen = self.book.last if known else None
            users = seen is not None and (seen.pending or seen.progress)
            if seen is not None and users and not self._in_doubt():
                return (self._load(shared.clock(), seen.pending),)
            if not presence.askable() or presence.life.closed:
                return self._not_yet()
        if self.standing.asleep is not None and presence.life.stage is not Stage.DEAD:
            return (self.standing.asleep,)
        return ()

    def _in_doubt(self) -> bool:
        """Whether a question is due on top of users' work: it stands still, or is suspected."""
        due = on_top_at(self.standing, self.judged.rules)
        return due is not None and due <= self._shared.clock() + SLACK

    def _not_yet(self) -> Answer:
        """Say that nobody would have heard a canary."""
        at, presence = self._shared.clock(), self._shared.presence
        if presence.life.stage is Stage.DEAD:
            return (CanaryFailed(at, at, CanaryFault.REFUSED, presence.contact),)
        return (Loading(at, presence.life.phase or Phase.PORT_CLOSED),)

    async def _put_question(self) -> Answer:
        if self.given_way:
            return ()
        shared, presence = self._shared, self._shared.presence
        model = presence.model
        if model is None:
            return self._not_yet()
        shared.board.identify(self.watched, f"{shared.engine.name}, {model}")
        on_top = self.standing.busy
        late = asyncio.get_running_loop().call_later(self.judged.rules.deadline / 2, shared.silent)
        sent = shared.clock()
        try:
            exchange = await self._asker.ask(model, on_top=on_top)
            if unknown_model(exchange) and (other := await self._another_model(model)):
                exchange = await self._asker.ask(other, on_top=on_top)
        except ContactError as error:
            return await self._lost(error, sent)
        finally:
            late.cancel()
        failure = exchange.answer.failure
        if failure and (failure.unsupported or failure.fault is CanaryFault.WRONG_SHAPE):
            shared.another()
        answer = self._weighing.answer(exchange)
        return answer if not on_top else tuple(map(self._beside_work, answer))

    async def _put_exam(self) -> Answer:
        shared, examiner = self._shared, self._examiner
        model, engine = shared.presence.model, shared.engine
        if model is None or examiner is None or not isinstance(engine, Transcribes):
            return await self._put_question()
        shared.board.identify(self.watched, f"{engine.name}, {model}")
        deadline, sent = self.judged.rules.deadline, shared.clock()
        within = Within(deadline + examiner.first, examiner.rest)
        late = asyncio.get_running_loop().call_later(deadline / 2, shared.silent)
        try:
            sitting = await self._asker.examine(
                engine, model, examiner.prompt, tokens=examiner.size, within=within
            )
        except TimeoutError:
            examiner.missed(tokens=examiner.size)
            examiner.put_off(2 * self.judged.rules.idle)
            at = shared.clock()
            cost = Spent(at, canaries=0, tokens=examiner.size - 1)
            return cost, CanaryFailed(at, sent, CanaryFault.TIMEOUT)
        except ContactError as error:
            examiner.missed()
            return await self._lost(error, sent)
        finally:
            late.cancel()
        exchange, said = sitting
        failure = exchange.answer.failure
        if failure is not None and failure.fault is not CanaryFault.EMPTY:
            if sitting.refused:
                examiner.refused(failure.detail)
            else:
                examiner.missed()
            return await self._put_question()  # an exam alone accuses nobody
        alone = await self._was_alone()
        if said is None:
            examiner.missed(tokens=exchange.answer.tokens)
            examiner.put_off(2 * self.judged.rules.idle)  # an ordinary canary comes between
        else:
            examiner.heard(said, alone=alone)
        # Its time is that of one token, as deadlines are learned from it.
        return tuple(
            one._replace(total=one.first_item) if isinstance(one, CanaryPassed) else one
            for one in self._weighing.answer(exchange)
        )

    async def _was_alone(self) -> bool | None:
        """Whether no work of users kept the answer company that has just come."""
        shared = self._shared
        if not shared.has_page() or not await shared.scrape(self.judged.rules.deadline):
            return None
        seen = self.book.last
        if seen is None or seen.pending is None:
            return None
        return not (seen.pending or seen.progress)

    async def _lost(self, error: ContactError, sent: float) -> Answer:
        """Say what it means that a question got no whole answer."""
        presence = self._shared.presence
        await presence.lost(error)
        if not presence.askable():
            return self._not_yet()
        return (outcome_of_trouble(error, sent=sent, at=self._shared.clock()),)

    def _beside_work(self, outcome: Evidence) -> Evidence:
        """An answer beside users' work says nothing of it, unless no counter could show more."""
        page = self.book.last
        steady = page is not None and page.steady and not self.book.trouble
        if isinstance(outcome, CanaryPassed) and steady:
            return outcome._replace(flow=False)
        return outcome

    async def _another_model(self, unknown: str) -> str | None:
        """Look for the model that the engine has now, unless the settings name one."""
        if self._model is not None:
            return None
        presence = self._shared.presence
        await presence.knock()
        return presence.model if presence.model != unknown else None

    def notes(self) -> Mapping[str, str]:
        """Say what is known of it beside the evidence, for people."""
        return {"rank": str(self.rank), "metrics": self.page_note(), "pace": self.pace_note()}

    def pace_note(self) -> str:
        """Say what is usual of users' work, for people."""
        gauge, pace = self.watched.gauge, self._shared.engine.traits.pace
        if gauge is None or pace is Pace.UNKNOWN:
            return "not measured: " + ("nothing asks for it" if gauge is None else pace)
        known = sorted((gauge.gaps or {}).items())
        told = (
            f"{usual.typical:.3g} s a token at {load_at(level)} requests ({usual.samples} measures)"
            for level, usual in known
        )
        return "; ".join(told) or "not measured yet"

    def page_note(self) -> str:
        """Say what is known of its metrics, for people."""
        book = self.book
        if not self._shared.has_page():
            return "none: canaries alone can tell"
        if book.trouble:
            return f"unknown: {book.trouble}"
        if not book.believed:
            return "not believed: the page stands still while canaries pass"
        if book.last is None:
            return "not read yet"
        if book.last.pending is None:
            return "read"
        return f"{book.last.pending} request(s) of users in flight"
