"""The canary of an app: one token, asked for inside its own process."""

from __future__ import annotations

import logging
from collections.abc import Callable

from serinus.asgi.inside import Inside, Reply
from serinus.core.evidence import (
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    CanaryUnknown,
)
from serinus.engines import AnswerReader, Blame, Engine
from serinus.errors import EngineError, excerpt
from serinus.runtime.deaths import failed_for_good
from serinus.runtime.overload import Overload
from serinus.runtime.target import Answer

__all__ = ["Canary"]

logger = logging.getLogger("serinus")


class Canary:
    """Asks an app for one token, as an engine of its kind is asked.

    `model` None: the first that the app lists. `stall`: for how many seconds too much work excuses.
    """

    def __init__(
        self,
        engine: Engine,
        inside: Inside,
        *,
        model: str | None,
        stall: float,
        clock: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._inside = inside
        self._model = model
        self._overload = Overload(stall)
        self._clock = clock
        self._way = 0
        """Which of the ways of asking the app understands."""
        self._complained = ""

    async def ask(self) -> Answer:
        """Ask once, and say as evidence what came of it; whoever waits cancels at the deadline."""
        sent = self._clock()
        try:
            model = self._model or await self._first_model()
            reader, reply = await self._put(model)
        except EngineError as error:
            return (self._unknown(str(error)),)
        except Exception as error:  # noqa: BLE001 - whatever an app raises is evidence
            detail = f"{type(error).__name__}: {excerpt(error)}"
            failed = CanaryFailed(self._clock(), sent, CanaryFault.RAISED, detail)
            return failed_for_good(failed, error)
        outcome = self._weighed(reader, reply, sent)
        return failed_for_good(outcome) if isinstance(outcome, CanaryFailed) else (outcome,)

    async def _first_model(self) -> str:
        """Look up the name to ask for, once. Raises EngineError."""
        path = self._engine.models_path
        page = await self._inside.page(path)
        if page.status != 200:
            raise EngineError(f"{path}: HTTP {page.status}, so no model is known to ask for")
        models = self._engine.read_models(page.body)
        if not models:
            raise EngineError(f"{path} lists no model")
        self._model = models[0]
        return self._model

    async def _put(self, model: str) -> tuple[AnswerReader, Reply]:
        ways = self._engine.alternatives(model)
        while True:
            reader = self._engine.answer_reader()
            reply = await self._inside.ask(ways[self._way], reader)
            failure = reader.answer.failure
            if failure is None or not failure.unsupported or self._way + 1 == len(ways):
                return reader, reply
            self._way += 1

    def _weighed(
        self, reader: AnswerReader, reply: Reply, sent: float
    ) -> CanaryPassed | CanaryFailed | CanaryUnknown:
        answer, done = reader.answer, reply.done
        failure = answer.failure
        if answer.passed:
            self._overload.over()
            first = done if reply.first is None else reply.first
            return CanaryPassed(done, first - sent, done - sent, answer.tokens)
        if failure is None:
            detail = f"{answer.items} item(s), no token"
            return CanaryFailed(done, sent, CanaryFault.EMPTY, detail)
        if failure.blame is Blame.CANARY:
            return self._unknown(failure.detail)
        failed = CanaryFailed(done, sent, failure.fault, failure.detail)
        return self._overload.weighed(failed) if failure.blame is Blame.LOAD else failed

    def _unknown(self, why: str) -> CanaryUnknown:
        """Say that the question was at fault, in the log once."""
        if why != self._complained:
            self._complained = why
            logger.warning("the canary cannot be asked rightly: %s", why)
        return CanaryUnknown(self._clock(), why)
