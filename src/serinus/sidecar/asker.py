"""Sends the one-token question, and says as evidence what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from serinus.core.evidence import CanaryFailed, CanaryFault, CanaryPassed, CanaryUnknown
from serinus.engines import Engine, Failure, Question
from serinus.sidecar.client import EngineClient, Exchange
from serinus.sidecar.contact import ContactError, Trouble
from serinus.sidecar.credentials import Credentials
from serinus.sidecar.ledger import Ledger
from serinus.sidecar.scraper import Scraper

__all__ = ["Asker", "Outcome", "outcome_of", "outcome_of_trouble"]

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


class Asker:
    """Asks one engine for one token, in the way that it understands, and keeps the ledger of it."""

    def __init__(
        self,
        engine: Engine,
        client: EngineClient,
        scraper: Scraper,
        credentials: Credentials,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._client = client
        self._scraper = scraper
        self._credentials = credentials
        self._clock = clock
        self._way = 0
        """Which of the ways of asking the engine understands."""

    def forget(self) -> None:
        """Begin again, with another engine."""
        self._way = 0

    async def ask(self, model: str, *, on_top: bool = False) -> Exchange:
        """Ask a model, in another way or with a new key if the engine does not take the first one.

        `on_top`: users' work is in flight. Raises ContactError. Cancelling it closes the
        connection, which is how an engine is told to give the request up.
        """
        ways = self._engine.alternatives(model)
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

    async def _send(self, question: Question, *, on_top: bool) -> Exchange:
        self._ledger = self._ledger.sent(self._clock(), on_top=on_top)
        try:
            exchange = await self._client.ask(question, self._engine.answer_reader())
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
        return self._scraper.ledger

    @_ledger.setter
    def _ledger(self, ledger: Ledger) -> None:
        self._scraper.ledger = ledger


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
