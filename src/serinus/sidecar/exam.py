"""Learns an engine's right answers, or compares its answers with them, once and without a watch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from serinus.core.correctness import Correctness, Lesson, Mark
from serinus.engines import Engine
from serinus.engines.capabilities import Transcribes
from serinus.engines.listing import MAX_LIST_BYTES
from serinus.errors import EngineError
from serinus.settings import Settings
from serinus.sidecar.asker import Asker, Within
from serinus.sidecar.book import Book
from serinus.sidecar.client import EngineClient
from serinus.sidecar.contact import ContactError
from serinus.sidecar.credentials import Credentials
from serinus.sidecar.recogniser import recognise
from serinus.sidecar.scraper import Scraper
from serinus.sidecar.targets import Target

__all__ = ["Exam"]

_PER_TOKEN = 1.0
_FIRST = 120.0
"""Seconds for the first token: something may have to be compiled."""
_MOST_MISSES = 10
"""Answers, running, that cannot be used before it is given up."""
_REST = 0.5
"""Seconds after one of these."""


class Exam:
    """Asks one engine. Raises EngineError if it cannot be spoken to, or not be asked so."""

    def __init__(
        self,
        target: Target,
        client: EngineClient,
        settings: Settings,
        credentials: Credentials,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._client = client
        self._settings = settings
        self._credentials = credentials
        self._clock = clock
        self._engine: Engine = target.engine
        self._model = ""

    async def begin(self) -> str:
        """Find out which engine and which model it is; return it as answers are kept by it."""
        if self._target.recognise:
            finding = await recognise(self._client)
            if finding.engine is None:
                raise EngineError(f"{self._target.place}: {finding}")
            self._engine = finding.engine
        if not isinstance(self._engine, Transcribes):
            raise EngineError(f"{self._engine.name} cannot be asked for an answer to a prompt")
        self._model = self._settings.model or await self._first_model()
        return f"{self._engine.name}, {self._model}"

    async def learned(self, prompts: Sequence[str], *, tokens: int) -> Correctness:
        """Ask each prompt as often as a lesson takes, while nobody else is served."""
        known = Correctness.of([Lesson()] * len(prompts))
        return await self._asked(
            known, prompts, tokens, until=lambda state, _: state.learned or state.wrong is not None
        )

    async def compared(
        self, lessons: Sequence[Lesson], prompts: Sequence[str], tokens: int
    ) -> Correctness:
        """Ask until a whole round is right, or it is wrong."""
        known = Correctness.of(lessons, given=True)
        return await self._asked(
            known,
            prompts,
            tokens,
            until=lambda state, rights: state.wrong is not None or rights >= len(prompts),
        )

    async def _asked(
        self,
        known: Correctness,
        prompts: Sequence[str],
        tokens: int,
        *,
        until: Callable[[Correctness, int], bool],
    ) -> Correctness:
        book = Book(stall=self._settings.health_check_busy_stall)
        scraper = Scraper(
            self._engine,
            self._client,
            book,
            heard=lambda _seen: None,
            port=self._target.metrics_port,
            clock=self._clock,
        )
        asker = Asker(self._engine, self._client, book, self._credentials, clock=self._clock)
        within = Within(_FIRST, tokens * _PER_TOKEN)
        rights = misses = 0
        engine = self._engine
        assert isinstance(engine, Transcribes), "not begun"
        while not until(known, rights):
            try:
                sitting = await asker.examine(
                    engine, self._model, prompts[known.turn], tokens=tokens, within=within
                )
            except ContactError as error:
                raise EngineError(f"{self._target.place}: {error.detail}") from error
            except TimeoutError as error:
                raise EngineError(f"no token within {within.first:g} s") from error
            failure = sitting.exchange.answer.failure
            if failure is not None or sitting.said is None:
                raise EngineError(failure.detail if failure else "an answer took too long")
            alone = await self._alone(scraper)
            before = known
            known, mark = known.after(
                sitting.said, alone=alone, tolerance=self._settings.correctness_tolerance
            )
            if mark is Mark.UNJUDGED:
                known = known._replace(turn=before.turn)
            misses = misses + 1 if mark is Mark.UNJUDGED else 0
            rights = rights + 1 if mark is Mark.RIGHT else 0
            if misses >= _MOST_MISSES:
                raise EngineError("it serves users: answers in their company say nothing")
            if misses:
                await asyncio.sleep(_REST)
        return known

    async def _alone(self, scraper: Scraper) -> bool | None:
        if not scraper.has_page():
            return None
        try:
            seen = await scraper.read(seconds=self._settings.health_check_request_timeout)
        except EngineError:
            return None
        return None if seen.pending is None else not (seen.pending or seen.progress)

    async def _first_model(self) -> str:
        path = self._engine.models_path
        try:
            page = await self._client.get(path, seconds=5.0, limit=MAX_LIST_BYTES)
        except ContactError as error:
            raise EngineError(f"{self._target.place}: {error.detail}") from error
        models = self._engine.read_models(page.body) if page.status == 200 else ()
        if not models:
            raise EngineError(f"GET {path}: HTTP {page.status}, no model; name it by --model")
        return models[0]
