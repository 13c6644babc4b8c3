"""Custom checks: any async callable, asked like a canary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from serinus.core.evidence import CanaryFailed, CanaryFault, CanaryPassed
from serinus.errors import SettingsError, excerpt
from serinus.runtime.callables import gives_awaitable
from serinus.runtime.target import Answer

__all__ = ["Check", "as_question"]

Check: TypeAlias = Callable[[], Awaitable[bool | None]]
"""Passes unless it returns False or raises."""


def as_question(
    name: str, check: Check, clock: Callable[[], float]
) -> Callable[[], Awaitable[Answer]]:
    """Return what asks the check once. Raises SettingsError if it is not an async callable."""
    if not gives_awaitable(check):
        raise SettingsError(
            f"check {name!r}: {excerpt(check)} is not an async callable; "
            "accepted: 'async def check() -> bool | None'"
        )

    async def ask() -> Answer:
        sent = clock()
        passed = await check()
        now = clock()
        if passed is False:
            return (CanaryFailed(now, sent, CanaryFault.ERROR_ITEM, f"{name} returned False"),)
        return (CanaryPassed(now, now - sent, now - sent),)

    return ask
