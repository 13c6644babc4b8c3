"""An engine whose kind nobody has named: it is recognised when its port opens, then watched.

It is looked at anew whenever another engine may be answering at the same address: after a death,
after counters that went down, after an answer of another shape. If its kind is another one, the
watch over it is replaced, and the judge is told of a new engine.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from serinus.core.evidence import Evidence, Loading, Phase, Registered
from serinus.engines import ANY, Engine
from serinus.engines.recognition import Finding
from serinus.runtime.board import Board
from serinus.runtime.target import Answer, Asked
from serinus.sidecar.client import EngineClient
from serinus.sidecar.contact import ContactError
from serinus.sidecar.credentials import Credentials
from serinus.sidecar.hindrance import Hindrance
from serinus.sidecar.recogniser import recognise
from serinus.sidecar.targets import AUTO, Target
from serinus.sidecar.watch import EngineWatch

__all__ = ["StrangerWatch"]

logger = logging.getLogger("serinus")

_KNOCK_PACE = 1.0
"""Seconds between two attempts while the port is closed, or its engine not recognised."""
_SLOWEST = 10.0
"""Between two attempts that found nothing, when there have been many."""


class StrangerWatch:
    """Recognises one engine, and watches it as what it is. `run` it until it is cancelled."""

    def __init__(
        self,
        target: Target,
        client: EngineClient,
        board: Board,
        credentials: Credentials,
        *,
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
    ) -> None:
        self.target = target
        self.known: EngineWatch | None = None
        """The watch over the engine as what it was recognised for; None until then."""
        self._client = client
        self._board = board
        self._credentials = credentials
        self._clock = clock
        self._seed = seed
        self._phase: Phase | None = None
        self._finding: Finding | None = None
        self._contact = "not tried yet"
        self._hindrance = Hindrance(target.place)
        self._another = asyncio.Event()
        self._watched = board.watch(
            target.address,
            Asked(self._ask, excuse=client.line.excuse),
            payload=True,
            notes=self._notes,
            degraded_policy=target.degraded_policy,
        )

    @property
    def serving(self) -> bool:
        """Whether it is known, and serves."""
        return self.known is not None and self.known.serving

    async def run(self) -> None:
        """Recognise, watch, and recognise anew when there is a reason, until cancelled."""
        engine = await self._until_recognised(None)
        while True:
            async with asyncio.TaskGroup() as group:
                watch = self._equip(engine)
                task = group.create_task(watch.run(), name=f"watch of {self.target.address}")
                engine = await self._until_another(engine)
                task.cancel()
            self.known = None
            now = self._clock()
            canary = self._board.settings.health_check_enabled
            self._tell(Registered(now, canary=canary), Loading(now, Phase.FIRST_TOKEN))

    def _equip(self, engine: Engine) -> EngineWatch:
        """Put a watch of this kind in charge of the place on the board."""
        self.known = EngineWatch(
            replace(self.target, engine=self.target.asked_as(engine), recognise=False),
            self._client,
            self._board,
            self._credentials,
            clock=self._clock,
            seed=self._seed,
            watched=self._watched,
            another=self._another.set,
        )
        return self.known

    async def _until_another(self, engine: Engine) -> Engine:
        """Wait until there is reason to look again and another kind of engine is seen."""
        while True:
            self._another.clear()
            await self._another.wait()
            found = await self._until_recognised(engine)
            if found.name != engine.name:
                return found
            await asyncio.sleep(_KNOCK_PACE)  # however many reasons there are

    async def _until_recognised(self, before: Engine | None) -> Engine:
        """Return the kind that is there; while another one is in charge, nothing is told."""
        pace = _KNOCK_PACE
        while True:
            try:
                finding = await recognise(self._client)
            except ContactError as error:
                self._contact, pace = error.detail, _KNOCK_PACE
                self._hindrance.is_trouble(error)
                if before is None:
                    self._wait_in(Phase.PORT_CLOSED)
            else:
                self._note(finding)
                self._hindrance.is_gone()
                if finding.engine is not None:
                    return finding.engine
                if before is None:
                    self._wait_in(Phase.UNRECOGNISED)
                pace = min(pace * 1.5, _SLOWEST)
            await asyncio.sleep(pace)

    def _note(self, finding: Finding) -> None:
        """Say what was found, once for each time that it is something else."""
        said, now = None if self._finding is None else str(self._finding), str(finding)
        self._finding, self._contact = finding, "it answers"
        if said == now:
            return
        if finding.engine is None:
            logger.warning("%s at %s: %s", self.target.address, self.target.place, now)
        elif finding.engine.name == ANY or not finding.engine.traits.proves:
            logger.warning("%s is taken for %s", self.target.address, now)
        else:
            logger.info("%s is %s", self.target.address, now)

    def _wait_in(self, phase: Phase) -> None:
        if phase is not self._phase:
            self._phase = phase
            self._tell(Loading(self._clock(), phase))

    def _tell(self, *evidence: Evidence) -> None:
        self._board.tell(self._watched.target, *evidence)

    # --- the place on the board, whoever is in charge of it ------------------------------------

    async def _ask(self) -> Answer:
        if self.known is not None:
            return await self.known.ask()
        return (Loading(self._clock(), self._phase or Phase.UNRECOGNISED),)

    def _notes(self) -> Mapping[str, str]:
        recognised = "not yet" if self._finding is None else str(self._finding)
        if self.known is not None:
            return {**self.known.notes(), "recognised": recognised}
        return {
            "engine": AUTO,
            "url": str(self.target.place),
            "contact": self._contact,
            "recognised": recognised,
        }
