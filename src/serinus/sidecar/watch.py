"""One engine, watched: its presence, its metrics, its canaries and the doubts, joined on the board.

The manager asks (`ask`); a loop of its own looks, at the port while the engine is loading or dead,
at its metrics while it serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from random import Random

from serinus.core.evidence import (
    Blinded,
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    CanaryUnknown,
    Evidence,
    Lease,
    Load,
    Loading,
    Phase,
    Progress,
    Registered,
    Spent,
    Witness,
)
from serinus.engines.capabilities import Transcribes
from serinus.engines.listing import MAX_LIST_BYTES
from serinus.errors import EngineError
from serinus.runtime.agenda import SLACK
from serinus.runtime.board import Board, Watched
from serinus.runtime.examiner import Examiner
from serinus.runtime.target import Answer
from serinus.sidecar.asker import Asker, Within, outcome_of_trouble
from serinus.sidecar.client import EngineClient
from serinus.sidecar.contact import ContactError
from serinus.sidecar.credentials import Credentials
from serinus.sidecar.doubt import Doubts
from serinus.sidecar.ledger import Seen
from serinus.sidecar.life import Life, Stage
from serinus.sidecar.presence import Presence
from serinus.sidecar.scraper import Scraper
from serinus.sidecar.sleep import SleepWatch
from serinus.sidecar.targets import Target
from serinus.sidecar.weighing import Weighing, unknown_model

__all__ = ["EngineWatch"]

logger = logging.getLogger("serinus")

_KNOCK_PACE = 1.0
"""Seconds between two looks at the port of an engine that is loading or dead."""
_LOOK_SHARE = 0.2
"""The part of a canary's deadline that the look before it may take."""
_BUSY_LOOKS = 10
"""Looks within a stall budget, at the least, while users' work is in flight."""
_SHORTEST_PACE = 0.05
_PATIENCE = (1.0, 15.0)
"""The least and the most seconds that a page of metrics may take: a saturated server is slow."""
_JITTER = 0.1


class EngineWatch:
    """Watches one engine. Made on the event loop; `run` it until it is cancelled.

    `watched` is its place on the board, if it has one already; who put it there passes `ask` and
    `notes` on. `another` is called when another engine may be answering at the same address.
    """

    def __init__(
        self,
        target: Target,
        client: EngineClient,
        board: Board,
        credentials: Credentials,
        *,
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
        watched: Watched | None = None,
        another: Callable[[], None] = lambda: None,
    ) -> None:
        settings = board.settings
        self.target = target
        self._board = board
        self._clock = clock
        self._random = Random(seed)
        self._model = settings.model
        self._interval = settings.scrape_interval
        self._wake = asyncio.Event()
        self._client = client
        self._line = client.line
        self._line.wanted = self._speak
        self._wanted = False
        """The engine is to be spoken to, to know whether it answers."""
        self._asking = asyncio.Lock()
        self._told: int | None = None
        life = Life(settings.engine_death_notice, clock(), canary=settings.health_check_enabled)
        self.presence = Presence(
            target.place,
            target.engine,
            client,
            credentials,
            life,
            wanted=settings.model,
            turned=self._turned,
            alarm=self._wake.set,
            clock=clock,
        )
        self.scraper = Scraper(
            target.engine,
            client,
            heard=self._heard,
            stall=settings.health_check_busy_stall,
            port=target.metrics_port,
            clock=clock,
        )
        self._asker = Asker(target.engine, client, self.scraper, credentials, clock=clock)
        self._weighing = Weighing(self.presence, stall=settings.health_check_busy_stall)
        watched = watched or board.watch(
            target.address,
            payload=True,
            ask=self.ask,
            notes=self.notes,
            excuse=self._line.excuse,
        )
        self._watched = watched
        self._judged = watched.target
        self._examiner: Examiner | None = None
        if isinstance(target.engine, Transcribes):
            self._examiner = board.examine(watched, self.examine)
        self._another = another
        self._sleep = SleepWatch(target.engine, client, self._judged, tell=self._tell, clock=clock)
        self._doubts = Doubts(
            self._judged,
            target.engine,
            client=client,
            presence=self.presence,
            scraper=self.scraper,
            asker=self._asker,
            asking=self._asking,
            spent=self._tell,
            passed=self._tell,
            heard=self._tell,
            worked=self._worked,
            health_interval=settings.engine_health_check_interval,
            clock=clock,
        )

    @property
    def serving(self) -> bool:
        """Whether it has brought a token, and has not died since."""
        return self.presence.life.stage is Stage.SERVING

    async def run(self) -> None:
        """Look, and doubt, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                name = self.target.address
                group.create_task(self._keep_looking(), name=f"looks at {name}")
                group.create_task(self._keep_doubting(), name=f"doubts of {name}")
        finally:
            self.presence.close()

    # --- looking -----------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        while True:
            self._wake.clear()
            await self._surviving(self._look())
            try:
                async with asyncio.timeout(self._pace()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _keep_doubting(self) -> None:
        while True:
            await asyncio.sleep(self._doubts.pace)
            await self._surviving(self._doubts.glance())

    async def _surviving(self, step: Awaitable[None]) -> None:
        """Take a step; a mistake of ours in it must not end the watch, and must be seen."""
        try:
            await step
        except Exception:
            logger.exception("%s: watching goes on after a mistake of our own", self.target.address)

    async def _look(self) -> None:
        if not self.presence.askable() or self.presence.life.stage is Stage.DEAD:
            await self.presence.knock()
            return
        if self._wanted:
            self._wanted = False
            await self._speak_now()
        await self.presence.feel()
        if self.scraper.has_page() and self.presence.askable():
            await self._scrape(self._patience())
        if self.presence.askable():
            await self._sleep.look()

    async def _scrape(self, seconds: float) -> Seen | None:
        try:
            return await self.scraper.read(seconds=seconds)
        except EngineError as error:
            self._tell_load(self._clock(), None)
            outage = self._line.outage()
            if outage is not None and self._judged.standing.busy:
                self._tell(Blinded(self._clock(), outage.since, str(outage)))
            if isinstance(error, ContactError):
                await self.presence.lost(error)
            return None

    def _pace(self) -> float:
        pace = self._interval
        if not self.presence.askable() or self.presence.life.stage is Stage.DEAD:
            pace = _KNOCK_PACE
        elif self._judged.standing.busy:
            pace = min(pace, self._judged.rules.stall / _BUSY_LOOKS)
        return max(pace, _SHORTEST_PACE) * (1 - _JITTER * self._random.random())

    def _patience(self) -> float:
        least, most = _PATIENCE
        return min(max(self._judged.rules.stall / 4, least), most)

    def _heard(self, seen: Seen) -> None:
        """Tell what a reading says of users."""
        if seen.anew:
            self._another()
            self._tell(CanaryUnknown(seen.at, "the engine's counters began anew: another engine?"))
        if seen.progress:
            if self.presence.life.stage is Stage.LOADING:
                self.presence.proven()
            self._tell(Progress(seen.at, Witness.COUNTERS))
        self._sleep.read(seen, asleep=self.scraper.asleep)
        pending = seen.pending
        if not self.scraper.ledger.believed and self._judged.standing.busy:
            logger.warning(
                "%s: the metrics page stands still while canaries pass: it is not believed",
                self.target.address,
            )
            pending = 0  # so that canaries are sent: they alone can tell now
        self._tell_load(seen.at, pending)

    def _tell_load(self, at: float, pending: int | None) -> None:
        if pending != self._told:
            self._told = pending
            self._tell(self._load(at, pending))

    def _load(self, at: float, pending: int | None) -> Load:
        newcomers = False if self.target.engine.traits.chunked else None
        return Load(at, pending, witness=Witness.COUNTERS, newcomers=newcomers)

    def _worked(self, at: float) -> None:
        """Take in that work in flight goes on, though no counter shows it yet."""
        pending = self._judged.standing.pending
        self._tell(self._load(at, pending)._replace(flow_at=at))

    def _speak(self) -> None:
        self._wanted = True
        self._wake.set()

    async def _speak_now(self) -> None:
        """Ask for a page that costs nothing, for the sake of an answer."""
        with contextlib.suppress(ContactError):
            await self._client.get(
                self.target.engine.models_path, seconds=_PATIENCE[0], limit=MAX_LIST_BYTES
            )

    # --- asking ------------------------------------------------------------------------------

    async def ask(self) -> Answer:
        """Ask for one token, unless a look shows that there is no point in it."""
        async with self._asking:
            return await self._looked_first() or await self._put_question()

    async def examine(self) -> Answer:
        """Ask for the answer to a fixed prompt, unless there is no point in it."""
        async with self._asking:
            pointless = await self._looked_first()
            if pointless and self._examiner is not None:
                self._examiner.put_off(self._judged.rules.retry)
            return pointless or await self._put_exam()

    async def _looked_first(self) -> Answer:
        """Say why there is no point in a question now; nothing if there is."""
        if not self.presence.askable() or self.presence.life.closed:
            await self.presence.knock()
        if not self.presence.askable() or self.presence.life.closed:
            return self._not_yet()
        if self.presence.life.stage is not Stage.DEAD and self.scraper.has_page():
            seen = await self._scrape(self._judged.rules.deadline * _LOOK_SHARE)
            users = seen is not None and (seen.pending or seen.progress)
            if seen is not None and users and not self._in_doubt():
                return (self._load(self._clock(), seen.pending),)
            if not self.presence.askable() or self.presence.life.closed:
                return self._not_yet()
        if self._judged.standing.asleep is not None and self.presence.life.stage is not Stage.DEAD:
            return (self._judged.standing.asleep,)
        return ()

    def _in_doubt(self) -> bool:
        """Whether users' work has stood still for so long that it is asked about, on top of it."""
        judged = self._judged
        doubted_at = judged.standing.doubted_at(judged.rules)
        return doubted_at is not None and doubted_at <= self._clock() + SLACK

    def _not_yet(self) -> Answer:
        """Say that nobody would have heard a canary."""
        at, life = self._clock(), self.presence.life
        if life.stage is Stage.DEAD:
            return (CanaryFailed(at, at, CanaryFault.REFUSED, self.presence.contact),)
        return (Loading(at, life.phase or Phase.PORT_CLOSED),)

    async def _put_question(self) -> Answer:
        model = self.presence.model
        if model is None:
            return self._not_yet()
        self._board.identify(self._watched, f"{self.target.engine.name}, {model}")
        on_top = self._judged.standing.busy
        late = asyncio.get_running_loop().call_later(
            self._judged.rules.deadline / 2, self._keeps_silent
        )
        sent = self._clock()
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
            self._another()
        answer = self._weighing.answer(exchange)
        return answer if not on_top else tuple(map(self._beside_work, answer))

    async def _put_exam(self) -> Answer:
        model, examiner, engine = self.presence.model, self._examiner, self.target.engine
        if model is None or examiner is None or not isinstance(engine, Transcribes):
            return await self._put_question()
        self._board.identify(self._watched, f"{engine.name}, {model}")
        deadline, sent = self._judged.rules.deadline, self._clock()
        within = Within(deadline, examiner.patience)
        late = asyncio.get_running_loop().call_later(deadline / 2, self._keeps_silent)
        try:
            sitting = await self._asker.examine(
                engine, model, examiner.prompt, tokens=examiner.size, within=within
            )
        except TimeoutError:
            examiner.missed(tokens=examiner.size)
            at = self._clock()
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
        else:
            examiner.heard(said, alone=alone)
        # Its time is that of one token, as deadlines are learned from it.
        return tuple(
            one._replace(total=one.first_item) if isinstance(one, CanaryPassed) else one
            for one in self._weighing.answer(exchange)
        )

    async def _was_alone(self) -> bool | None:
        """Whether no work of users kept the answer company that has just come."""
        if not self.scraper.has_page():
            return None
        seen = await self._scrape(self._judged.rules.deadline)
        if seen is None or seen.pending is None:
            return None
        return not (seen.pending or seen.progress)

    async def _lost(self, error: ContactError, sent: float) -> Answer:
        """Say what it means that a question got no whole answer."""
        await self.presence.lost(error)
        if not self.presence.askable():
            return self._not_yet()
        return (outcome_of_trouble(error, sent=sent, at=self._clock()),)

    def _beside_work(self, outcome: Evidence) -> Evidence:
        """An answer beside users' work says nothing of it, unless no counter could show more."""
        page = self.scraper.last
        steady = page is not None and page.steady and not self.scraper.trouble
        if isinstance(outcome, CanaryPassed) and steady:
            return outcome._replace(flow=False)
        return outcome

    def _keeps_silent(self) -> None:
        """Look at what the metrics say now, and whether the others keep silent too."""
        self._wake.set()
        self._line.ask_others()

    async def _another_model(self, unknown: str) -> str | None:
        """Look for the model that the engine has now, unless the settings name one."""
        if self._model is not None:
            return None
        await self.presence.knock()
        return self.presence.model if self.presence.model != unknown else None

    # --- telling -----------------------------------------------------------------------------

    def _turned(self, evidence: tuple[Evidence, ...]) -> None:
        """Tell of a turn of the engine's life; a new one begins with nothing remembered."""
        if isinstance(evidence[0], Registered):
            self._another()
            self.scraper.forget()
            self._sleep.forget()
            self._asker.forget()
            self._weighing.forget()
            self._told = None
            until = self._board.lease_until(self._watched)
            if until > evidence[0].at:
                evidence = (*evidence, Lease(evidence[0].at, until))
        self._tell(*evidence)
        if self.presence.life.askable:
            self._wake.set()

    def _tell(self, *evidence: Evidence) -> None:
        self._board.tell(self._judged, *evidence)

    def notes(self) -> Mapping[str, str]:
        """Say what is known beside the evidence, for people."""
        now = self._clock()
        life, own = self.presence.life, self._doubts.own_health
        heard = "not asked yet" if self.target.engine.health_is_free else "asked only in doubt"
        if own is not None:
            heard = f"{own} ({now - own.at:.1f} s ago)"
        return {
            "engine": self.target.engine.name,
            "url": str(self.target.place),
            "model": self.presence.model or "",
            "stage": f"{life.stage} for {now - life.since:.1f} s",
            "contact": self.presence.contact,
            "own_health": f"the engine's own {self.target.engine.health_path}: {heard}",
            "metrics": self._metrics_note(),
        }

    def _metrics_note(self) -> str:
        if not self.scraper.has_page():
            return "none: canaries alone can tell"
        if self.scraper.trouble:
            return f"unknown: {self.scraper.trouble}"
        if not self.scraper.ledger.believed:
            return "not believed: the page stands still while canaries pass"
        last = self.scraper.last
        if last is None:
            return "not read yet"
        return "read" if last.pending is None else f"{last.pending} request(s) of users in flight"
