"""Watches an engine object that knows whether it is dead, such as vLLM's `AsyncLLM`.

It believes a "dead", and never an "alive": a frozen engine passes its own check, which is why the
canaries are there. A check that does not answer in time is no death either: an engine that is full
of work is slow to answer. It is testimony, and brings a canary, which finds out.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from serinus.errors import SettingsError, excerpt
from serinus.runtime.deaths import death_in

__all__ = ["EngineMonitor"]

logger = logging.getLogger("serinus")

_GLANCE = 0.25
"""Seconds between two readings of `errored`, which costs nothing."""
_ERRORED = "the engine says that it has failed (errored)"


class _Word(NamedTuple):
    """What a check came to: `problem` is empty if it passed."""

    problem: str
    final: bool = False
    silent: bool = False


class EngineMonitor:
    """Reads `engine.errored` and calls `engine.check_health()`, async or not, whichever it has.

    `errored` true, or an exception that is the engine's own word of death, counts at once, also
    while a check is running; any other exception or False counts after `max_failures` in a row.
    `heard(well, detail)` is told every answer, a time-out as "not well"; `died(why)` the end.
    `interval` and `timeout` are seconds; a time-out of 0 is no limit.
    """

    def __init__(
        self,
        engine: Any,
        *,
        died: Callable[[str], None],
        heard: Callable[[bool, str], None] = lambda _well, _detail: None,
        interval: float,
        timeout: float,
        max_failures: int = 1,
    ) -> None:
        self._check: Callable[[], object] | None = getattr(engine, "check_health", None)
        self._has_flag = hasattr(engine, "errored")
        if self._check is None and not self._has_flag:
            raise SettingsError(
                f"engine {type(engine).__name__}: has neither 'errored' nor 'check_health()'; "
                "accepted: an object with one of them, such as vLLM's AsyncLLM"
            )
        self._engine = engine
        self._died = died
        self._heard = heard
        self._interval = interval
        self._timeout = timeout
        self._max_failures = max_failures

    async def run(self) -> None:
        """Watch until the engine is dead, and say so once."""
        async with asyncio.TaskGroup() as group:
            watches = []
            if self._has_flag:
                watches.append(group.create_task(self._read_flag(), name="reads errored"))
            if self._check is not None:
                watches.append(group.create_task(self._keep_asking(self._check), name="asks"))
            done, others = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            for why in [task.result() for task in done if task.exception() is None][:1]:
                self._heard(False, why)  # noqa: FBT003 - a callback's first word
                self._died(why)
            for other in others:
                other.cancel()

    async def _read_flag(self) -> str:
        """Read `errored` until it is true; where it is all there is, it is the engine's word."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while getattr(self._engine, "errored", False) is not True:
            if self._check is None and loop.time() >= due:
                self._heard(True, "not errored")  # noqa: FBT003 - a callback's first word
                due = loop.time() + self._interval
            await asyncio.sleep(self._pace())
        return _ERRORED

    async def _keep_asking(self, check: Callable[[], object]) -> str:
        """Ask at the interval until the answers are a death; return why."""
        loop = asyncio.get_running_loop()
        failures, silent = 0, False
        while True:
            word = await self._ask(check)
            due = loop.time() + self._interval
            if word.silent:
                if not silent:
                    logger.warning("%s: a canary will tell", word.problem)
            else:
                failures = failures + 1 if word.problem else 0
            silent = word.silent
            if word.final or failures >= self._max_failures:
                return word.problem
            self._heard(not word.problem, word.problem or "check_health() passed")
            if word.problem and not silent:
                logger.warning("engine check failed %d time(s): %s", failures, word.problem)
            await asyncio.sleep(max(due - loop.time(), self._pace()))

    async def _ask(self, check: Callable[[], object]) -> _Word:
        limit = asyncio.timeout(self._timeout or None)
        try:
            async with limit:
                answer = check()
                if inspect.isawaitable(answer):
                    answer = await answer
        except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
            if limit.expired():
                said = f"check_health() did not answer within {self._timeout:g} s"
                return _Word(said, silent=True)
            told = f"check_health(): {type(error).__name__}: {excerpt(error)}"
            return _Word(told, final=death_in(error))
        return _Word("check_health() returned False" if answer is False else "")

    def _pace(self) -> float:
        return min(_GLANCE, self._interval) or _GLANCE
