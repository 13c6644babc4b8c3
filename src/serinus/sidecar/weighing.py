"""What an answer means for the engine, and not for the question alone.

An engine's own word that it is dead is its death. One that says that it has too much to do is
excused, and one that says "not yet" before its first token is loading.
"""

from __future__ import annotations

from serinus.core.evidence import (
    CanaryPassed,
    CanaryUnknown,
    Loading,
    Phase,
)
from serinus.engines import Blame
from serinus.runtime.deaths import says_dead
from serinus.runtime.overload import Overload
from serinus.runtime.target import Answer
from serinus.sidecar.asker import outcome_of
from serinus.sidecar.client import Exchange
from serinus.sidecar.life import Stage
from serinus.sidecar.presence import Presence

__all__ = ["Weighing", "unknown_model"]

_NOT_YET = 503


class Weighing:
    """Weighs the answers of one engine. `stall` is for how long too much work excuses it."""

    def __init__(self, presence: Presence, *, stall: float) -> None:
        self._presence = presence
        self._overload = Overload(stall)

    def forget(self) -> None:
        """Begin again, with another engine."""
        self._overload.over()

    def answer(self, exchange: Exchange) -> Answer:
        """Say as evidence what an answer means; the engine's life turns by it if it must."""
        outcome, failure = outcome_of(exchange), exchange.answer.failure
        if isinstance(outcome, CanaryPassed):
            self._overload.over()
            self._presence.proven()
            return (outcome,)
        if failure is None:
            return (outcome,)
        self._presence.contact = failure.detail
        if says_dead(failure.detail):
            self._presence.said_dead(failure.detail)
        elif failure.blame is Blame.LOAD:
            return (self._overload.weighed(outcome),)
        elif failure.status == _NOT_YET and self._presence.life.stage is Stage.LOADING:
            at = outcome.at
            return Loading(at, Phase.FIRST_TOKEN), CanaryUnknown(at, f"loading: {failure.detail}")
        return (outcome,)


def unknown_model(exchange: Exchange) -> bool:
    """Whether the engine does not know the model that it was asked for."""
    failure = exchange.answer.failure
    return failure is not None and failure.status == 404 and not failure.unsupported
