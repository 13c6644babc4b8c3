"""Asks an engine object whether its owner has put it to sleep, such as vLLM's `AsyncLLM`.

No answer, or one of another kind, says nothing: the engine is judged as if it were awake.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

from serinus.errors import excerpt

__all__ = ["SleepMonitor", "can_tell"]

logger = logging.getLogger("serinus")

_PACE = 0.5
_PATIENCE = 1.0
_AFTER_SILENCE = 5.0
"""Seconds: between two questions, for an answer, and after one that did not come."""
_SAID = "is_sleeping()"


def can_tell(engine: Any) -> bool:
    """Say whether an engine object can be asked."""
    return callable(getattr(engine, "is_sleeping", None))


class SleepMonitor:
    """Calls `engine.is_sleeping()`, async or not.

    `slept(asleep, detail)` is told of a sleep each time that it is said, and of its end once.
    """

    def __init__(self, engine: Any, *, slept: Callable[[bool, str], None]) -> None:
        self._engine = engine
        self._slept = slept
        self._asleep = False
        self._failed = False

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            word = await self._ask()
            if word or (word is False and self._asleep):
                self._asleep = word
                self._slept(word, _SAID)
            await asyncio.sleep(_AFTER_SILENCE if word is None else _PACE)

    async def _ask(self) -> bool | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = self._engine.is_sleeping()
                if inspect.isawaitable(answer):
                    answer = await answer
        except Exception as error:  # noqa: BLE001 - whatever it raises says nothing of sleep
            if not self._failed:
                told = f"{type(error).__name__}: {excerpt(error)}"
                logger.info("%s says nothing of the engine's sleep: %s", _SAID, told)
            self._failed = True
            return None
        self._failed = False
        return answer if isinstance(answer, bool) else None
