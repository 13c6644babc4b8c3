"""Watches an engine object that knows whether it is dead, such as vLLM's `AsyncLLM`.

It believes a "dead", and never an "alive": a frozen engine passes its own check, which is why the
canaries are there.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

from serinus.errors import SettingsError, excerpt
from serinus.runtime.canary import death_in

__all__ = ["EngineMonitor"]

logger = logging.getLogger("serinus")

_GLANCE = 0.25
"""Seconds between two readings of `errored`, which costs nothing."""


class EngineMonitor:
    """Reads `engine.errored` and calls `engine.check_health()`, async or not, whichever it has.

    `errored` true, or an exception that is the engine's own word of death, counts at once;
    any other exception, False or a time-out counts after `max_failures` in a row.
    """

    def __init__(
        self,
        engine: Any,
        *,
        died: Callable[[str], None],
        interval: float,
        timeout: float,
        max_failures: int = 1,
    ) -> None:
        self._check: Callable[[], object] | None = getattr(engine, "check_health", None)
        if self._check is None and not hasattr(engine, "errored"):
            raise SettingsError(
                f"engine {type(engine).__name__}: has neither 'errored' nor 'check_health()'; "
                "accepted: an object with one of them, such as vLLM's AsyncLLM"
            )
        self._engine = engine
        self._died = died
        self._interval = interval
        self._timeout = timeout
        self._max_failures = max_failures

    async def run(self) -> None:
        """Watch until the engine is dead."""
        loop = asyncio.get_running_loop()
        failures, due = 0, loop.time()
        while True:
            if getattr(self._engine, "errored", False) is True:
                self._died("the engine says that it has failed (errored)")
                return
            if loop.time() >= due:
                problem, final = await self._ask()
                failures = failures + 1 if problem else 0
                if problem and (final or failures >= self._max_failures):
                    self._died(problem)
                    return
                if problem:
                    logger.warning("engine check failed %d time(s): %s", failures, problem)
                due = loop.time() + self._interval
            await asyncio.sleep(min(_GLANCE, self._interval) or _GLANCE)

    async def _ask(self) -> tuple[str, bool]:
        """Return what is wrong ('' for nothing), and whether it is final."""
        if self._check is None:
            return "", False
        limit = asyncio.timeout(self._timeout or None)
        try:
            async with limit:
                answer = self._check()
                if inspect.isawaitable(answer):
                    answer = await answer
        except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
            if limit.expired():
                return f"check_health() did not answer within {self._timeout:g} s", False
            told = f"check_health(): {type(error).__name__}: {excerpt(error)}"
            return told, death_in(error)
        return ("check_health() returned False" if answer is False else ""), False
