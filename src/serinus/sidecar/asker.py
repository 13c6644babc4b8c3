"""Sends the one-token question, and says as evidence what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from serinus.core.evidence import CanaryFailed, CanaryFault, CanaryPassed, CanaryUnknown
from serinus.core.transcript import Transcript
from serinus.engines import AnswerReader, Blame, Engine, Failure, Question
from serinus.engines.capabilities import DirectsToRanks, Transcribes, TranscriptReader
from serinus.sidecar.book import Book
from serinus.sidecar.client import EngineClient, Exchange
from serinus.sidecar.contact import ContactError, Trouble
from serinus.sidecar.credentials import Credentials
from serinus.sidecar.ledger import Ledger

__all__ = ["Asker", "Outcome", "Sitting", "Within", "outcome_of", "outcome_of_trouble"]

Outcome = CanaryPassed | CanaryFailed | CanaryUnknown

_FAULTS = {
    Trouble.REFUSED: CanaryFault.REFUSED,
    Trouble.UNREACHABLE: CanaryFault.REFUSED,
    Trouble.UNRESOLVED: CanaryFault.REFUSED,
    Trouble.UNTRUSTED: CanaryFault.RAISED,
    Trouble.DROPPED: CanaryFault.DROPPED,
    Trouble.NO_HTTP: CanaryFault.WRONG_SHAPE,
    Trouble.TOO_LARGE: CanaryFault.WRONG_SHAPE,
    Trouble.SILENT: CanaryFault.TIMEOUT,
}
_UNAUTHORIZED = frozenset({401, 403})
_REACHED_IT = frozenset({Trouble.DROPPED, Trouble.NO_HTTP, Trouble.UNTRUSTED})


class Within(NamedTuple):
    """The seconds that an exam has: until its first token, and from there to its end."""

    first: float
    rest: float


class Sitting(NamedTuple):
    """An exam that was answered.

    `said` is None where the answer was given up after its first token, which proves the engine all
    the same.
    """

    exchange: Exchange
    said: Transcript | None

    @property
    def refused(self) -> bool:
        """Whether the engine does not take questions of this kind."""
        failure = self.exchange.answer.failure
        return failure is not None and failure.blame is Blame.CANARY


class Asker:
    """Asks one engine for one token, in the way that it understands, and keeps the ledger of it.

    With a `rank`, that rank of it is asked.
    """

    def __init__(
        self,
        engine: Engine,
        client: EngineClient,
        book: Book,
        credentials: Credentials,
        *,
        rank: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._client = client
        self._book = book
        self._rank = rank
        self._credentials = credentials
        self._clock = clock
        self._way = 0
        """Which of the ways of asking the engine understands."""

        self._greedy_way = 0

    def forget(self) -> None:
        """Begin again, with another engine."""
        self._way = self._greedy_way = 0

    async def ask(self, model: str, *, on_top: bool = False) -> Exchange:
        """Ask a model, in another way or with a new key if the engine does not take the first one.

        `on_top`: users' work is in flight. Raises ContactError. Cancelling it closes the
        connection, which is how an engine is told to give the request up.
        """
        ways = self._directed(self._engine.alternatives(model))
        exchange = await self._send(ways[self._way], on_top=on_top)
        while _lacks(exchange.answer.failure) and self._way + 1 < len(ways):
            self._way += 1
            exchange = await self._send(ways[self._way], on_top=on_top)
        failure = exchange.answer.failure
        if failure and failure.status in _UNAUTHORIZED and self._credentials.renew():
            exchange = await self._send(ways[self._way], on_top=on_top)
        if _lacks(exchange.answer.failure):
            self._way = 0  # none of them: begin with the best again
        return exchange

    def _directed(self, ways: tuple[Question, ...]) -> tuple[Question, ...]:
        engine, rank = self._engine, self._rank
        if rank is None or not isinstance(engine, DirectsToRanks):
            return ways
        return tuple(engine.directed(question, rank) for question in ways)

    async def examine(
        self, engine: Transcribes, model: str, prompt: str, *, tokens: int, within: Within
    ) -> Sitting:
        """Ask for a greedy answer to a prompt, in another way if the engine refuses the first one.

        Raises ContactError, and TimeoutError if the first token is late.
        """
        ways = self._directed(engine.greedy(model, prompt, tokens=tokens))
        way = min(self._greedy_way, len(ways) - 1)
        if self._engine.traits.pieces:  # its prompt counts too, at most a token a byte
            tokens += len(prompt.encode()) + 1
        first = sitting = await self._sit(ways[way], engine.transcript_reader(), tokens, within)
        while sitting.refused and way + 1 < len(ways):
            way += 1
            sitting = await self._sit(ways[way], engine.transcript_reader(), tokens, within)
        self._greedy_way = 0 if sitting.refused else way
        return first if sitting.refused else sitting  # the best way's refusal says most

    async def _sit(
        self, question: Question, reader: TranscriptReader, tokens: int, within: Within
    ) -> Sitting:
        loop, sent = asyncio.get_running_loop(), self._clock()
        began: list[float] = []

        def has_begun() -> None:
            began.append(self._clock())
            limit.reschedule(loop.time() + within.rest)

        try:
            async with asyncio.timeout(within.first) as limit:
                exchange = await self._send(
                    question, on_top=False, reader=reader, tokens=tokens, began=has_begun
                )
        except TimeoutError:
            if not reader.answer.tokens or not began:
                raise
            answer = replace(reader.answer, finished=True, failure=None)
            return Sitting(Exchange(sent, began[0], self._clock(), answer), None)
        return Sitting(exchange, reader.transcript)

    async def _send(
        self,
        question: Question,
        *,
        on_top: bool,
        reader: AnswerReader | None = None,
        tokens: int = 1,
        began: Callable[[], None] = lambda: None,
    ) -> Exchange:
        self._ledger = self._ledger.sent(self._clock(), on_top=on_top, tokens=tokens)
        try:
            reader = self._engine.answer_reader() if reader is None else reader
            exchange = await self._client.ask(question, reader, began=began)
        except ContactError as error:
            if error.trouble in _REACHED_IT:
                self._ledger = self._ledger.answered(self._clock())
            elif error.trouble is Trouble.TOO_LARGE:
                self._ledger = self._ledger.given_up()
            else:
                self._ledger = self._ledger.never_arrived()
            raise
        except BaseException:
            self._ledger = self._ledger.given_up()
            raise
        passed = exchange.answer.passed
        ledger = self._ledger
        self._ledger = ledger.passed(exchange.done) if passed else ledger.answered(exchange.done)
        return exchange

    @property
    def _ledger(self) -> Ledger:
        return self._book.ledger

    @_ledger.setter
    def _ledger(self, ledger: Ledger) -> None:
        self._book.ledger = ledger


def outcome_of(exchange: Exchange) -> CanaryPassed | CanaryFailed:
    """Say what an answer means."""
    answer, sent, done = exchange.answer, exchange.sent, exchange.done
    if answer.passed:
        first = done if exchange.first is None else exchange.first
        return CanaryPassed(done, first - sent, done - sent, answer.tokens)
    if answer.failure is None:
        return CanaryFailed(done, sent, CanaryFault.EMPTY, f"{answer.items} item(s), no token")
    return CanaryFailed(done, sent, answer.failure.fault, answer.failure.detail)


def outcome_of_trouble(
    error: ContactError, *, sent: float, at: float
) -> CanaryFailed | CanaryUnknown:
    """Say what it means that there was no whole answer."""
    if error.trouble is Trouble.OURS:
        return CanaryUnknown(at, error.detail)
    return CanaryFailed(at, sent, _FAULTS[error.trouble], error.detail)


def _lacks(failure: Failure | None) -> bool:
    return failure is not None and failure.unsupported
