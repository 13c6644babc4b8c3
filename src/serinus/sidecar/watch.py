"""One engine, watched: its presence, its metrics, and what is judged of it, joined on the board.

The manager asks (`part`); a loop of its own looks, at the port while the engine is loading or dead,
at its metrics while it serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from random import Random

from serinus.core.evidence import Blinded, Evidence, Lease, Loading, Phase, Registered
from serinus.engines.listing import MAX_LIST_BYTES
from serinus.errors import EngineError
from serinus.runtime.board import Board, Watched
from serinus.runtime.target import Answer
from serinus.sidecar.book import Book, busy_pace
from serinus.sidecar.client import EngineClient
from serinus.sidecar.contact import ContactError
from serinus.sidecar.credentials import Credentials
from serinus.sidecar.hearer import Hearer
from serinus.sidecar.ledger import Seen
from serinus.sidecar.life import Life, Stage
from serinus.sidecar.part import Part, Shared
from serinus.sidecar.presence import Presence
from serinus.sidecar.ranks import Ranks
from serinus.sidecar.scraper import Scraper
from serinus.sidecar.sleep import SleepWatch
from serinus.sidecar.targets import Target

__all__ = ["EngineWatch"]

logger = logging.getLogger("serinus")

_KNOCK_PACE = 1.0
"""Seconds between two looks at the port of an engine that is loading or dead."""
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
        self._interval = settings.scrape_interval
        self._wake = asyncio.Event()
        self._client = client
        self._line = client.line
        self._line.wanted = self._speak
        self._wanted = False
        """The engine is to be spoken to, to know whether it answers."""
        self._another = another
        life = Life(settings.engine_death_notice, clock(), canary=settings.health_check_enabled)
        self.presence = Presence(
            target.place,
            target.engine,
            client,
            credentials,
            life,
            wanted=settings.model,
            turned=self._turned,
            alarm=self._alarmed,
            clock=clock,
        )
        stall = settings.health_check_busy_stall
        book = Book(stall=stall, pace=busy_pace(interval=self._interval, stall=stall))
        self.scraper = Scraper(
            target.engine,
            client,
            book,
            heard=self._heard,
            port=target.metrics_port,
            clock=clock,
        )
        self._hearer = Hearer(target.engine, client, clock=clock)
        shared = Shared(
            target.engine,
            board,
            client,
            credentials,
            self.presence,
            self._hearer,
            has_page=self.scraper.has_page,
            scrape=self._scrape,
            silent=self._keeps_silent,
            another=self._another,
            clock=clock,
            degraded_policy=target.degraded_policy,
        )
        self._whole = Part(shared, book, target.address, watched=watched, notes=self.notes)
        self._watched = self._whole.watched
        self.ranks = Ranks(shared, self.scraper, self._whole)
        self.scraper.ranked = self.ranks.found
        self.scraper.late = self._page_is_late
        self._sleep = SleepWatch(
            target.engine, client, self._whole.judged, tell=self._tell, clock=clock
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
            self.ranks.join_up()

    # --- looking -----------------------------------------------------------------------------

    async def _keep_looking(self) -> None:
        while True:
            self._wake.clear()
            await self._surviving(self._look)
            try:
                async with asyncio.timeout(self._pace()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _keep_doubting(self) -> None:
        while True:
            await asyncio.sleep(self._whole.doubts.pace)
            await asyncio.gather(*(self._surviving(one.doubts.glance) for one in self.ranks))

    async def _surviving(self, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step; a mistake of ours in it must not end the watch, and must be seen."""
        try:
            await step()
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

    async def _scrape(self, seconds: float) -> bool:
        """Read the page, and say whether there was a reading."""
        try:
            await self.scraper.read(seconds=seconds)
        except EngineError as error:
            at, outage = self._clock(), self._line.outage()
            for part in self.ranks:
                part.tell_load(at, None)
                if outage is not None and part.standing.busy:
                    part.tell(Blinded(at, outage.since, str(outage)))
            if isinstance(error, ContactError):
                await self.presence.lost(error)
            return False
        self.ranks.check()
        return True

    def _pace(self) -> float:
        pace = self._interval
        if not self.presence.askable() or self.presence.life.stage is Stage.DEAD:
            pace = _KNOCK_PACE
        elif any(part.standing.busy for part in self.ranks):
            pace = busy_pace(interval=pace, stall=self._whole.judged.rules.stall)
        return max(pace, _SHORTEST_PACE) * (1 - _JITTER * self._random.random())

    def _patience(self) -> float:
        least, most = _PATIENCE
        return min(max(self._whole.judged.rules.stall / 4, least), most)

    def _heard(self, seen: Seen) -> None:
        """Take in what a reading says of the engine as a whole; its parts have heard of it."""
        if seen.anew:
            self._another()
        self._sleep.read(seen, asleep=self.scraper.asleep)

    def _page_is_late(self) -> None:
        """Have the engine asked at once: a process that hangs as a whole answers nothing."""
        part = next(iter(self.ranks))
        if self.serving and self._board.hurry(part.judged):
            logger.info("%s: its metrics page is late: asked at once", part.watched.address)

    def _alarmed(self) -> None:
        """Look at once; and have ranks asked that waited for an engine which serves by now."""
        self._wake.set()
        if self.presence.life.stage is Stage.SERVING:
            for part in self.ranks.parts.values():
                if part.standing.phase is not None:
                    part.tell(Loading(self._clock(), Phase.FIRST_TOKEN))

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
        """Ask the engine as a whole; its ranks, if it has any, are asked in its place."""
        return await self._whole.ask()

    def _keeps_silent(self) -> None:
        """Look at what the metrics say now, and whether the others keep silent too."""
        self._wake.set()
        self._line.ask_others()

    # --- telling -----------------------------------------------------------------------------

    def _turned(self, evidence: tuple[Evidence, ...]) -> None:
        """Tell of a turn of the engine's life; a new one begins with nothing remembered."""
        if isinstance(evidence[0], Registered):
            self._another()
            self.ranks.forget()
            self.scraper.forget()
            self._sleep.forget()
            self._whole.forget()
            until = self._board.lease_until(self._watched)
            if until > evidence[0].at:
                evidence = (*evidence, Lease(evidence[0].at, until))
        self._tell(*evidence)
        if self.presence.askable():
            self.ranks.found({})
        if self.presence.life.askable:
            self._wake.set()

    def _tell(self, *evidence: Evidence) -> None:
        """Bring evidence that is of the whole process."""
        self._whole.tell(*evidence)
        for part in self.ranks.parts.values():
            part.tell(*evidence)

    def notes(self) -> Mapping[str, str]:
        """Say what is known beside the evidence, for people."""
        now = self._clock()
        life, own = self.presence.life, self._hearer.last
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
            "pace": self._whole.pace_note(),
            "ranks": self.ranks.note() or "not told apart",
        }

    def _metrics_note(self) -> str:
        last = self.scraper.last
        if not self.ranks.parts or self.scraper.trouble or last is None:
            return self._whole.page_note()
        return "read" if last.pending is None else f"{last.pending} request(s) of users in flight"
