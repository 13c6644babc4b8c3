"""Learns an engine's right answers, or compares its answers with them, once and without a watch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

from serinus.core.correctness import Correctness, Lesson, Mark
from serinus.core.evidence import CanaryFault
from serinus.core.transcript import Transcript
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
_MOST_ROUNDS = 64
"""Rounds of all prompts before it is given up, misses among them."""
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
        known = begun = Correctness.of([Lesson()] * len(prompts))
        async for known, _ in self._asked(begun, prompts, tokens):
            if known.learned or known.wrong is not None:
                break
        return known

    async def compared(
        self, lessons: Sequence[Lesson], prompts: Sequence[str], tokens: int
    ) -> Correctness:
        """Ask until nothing is wrong in a whole round, or the engine is."""
        known = begun = Correctness.of(lessons, given=True)
        quiet: list[Mark] = []
        async for known, mark in self._asked(begun, prompts, tokens):
            quiet = [] if mark is Mark.WRONG else [*quiet, mark]
            if known.wrong is not None or len(quiet) >= len(prompts):
                break
        if known.wrong is None and Mark.RIGHT not in quiet:
            raise EngineError("no answer can be compared: all of them part at a near tie at once")
        return known

    async def _asked(
        self, known: Correctness, prompts: Sequence[str], tokens: int
    ) -> AsyncIterator[tuple[Correctness, Mark]]:
        """Ask the prompts in turn; each answer that had no company gives what is known after it."""
        engine = self._engine
        assert isinstance(engine, Transcribes), "not begun"
        book = Book(stall=self._settings.health_check_busy_stall)
        scraper = Scraper(
            engine,
            self._client,
            book,
            heard=lambda _seen: None,
            port=self._target.metrics_port,
            clock=self._clock,
        )
        asker = Asker(engine, self._client, book, self._credentials, clock=self._clock)
        misses = 0
        for _ in range(_MOST_ROUNDS * len(prompts)):
            said = await self._said(asker, engine, prompts[known.turn], tokens)
            alone = await self._alone(scraper)
            after, mark = known.after(
                said, alone=alone, tolerance=self._settings.correctness_tolerance
            )
            if alone is False and mark is Mark.UNJUDGED:
                misses += 1
                if misses >= _MOST_MISSES:
                    raise EngineError("it serves users: answers in their company say nothing")
                await asyncio.sleep(_REST)
                continue
            misses, known = 0, after
            yield known, mark
        raise EngineError("its answers are now right and now wrong")

    async def _said(
        self, asker: Asker, engine: Transcribes, prompt: str, tokens: int
    ) -> Transcript:
        """Return the answer to a prompt; one without a token is an answer too."""
        within = Within(_FIRST, tokens * _PER_TOKEN)
        try:
            sitting = await asker.examine(engine, self._model, prompt, tokens=tokens, within=within)
        except ContactError as error:
            raise EngineError(f"{self._target.place}: {error.detail}") from error
        except TimeoutError as error:
            raise EngineError(f"no token within {within.first:g} s") from error
        failure = sitting.exchange.answer.failure
        if failure is not None and failure.fault is not CanaryFault.EMPTY:
            raise EngineError(failure.detail)
        if sitting.said is None:
            raise EngineError("an answer took too long")
        return sitting.said

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
