"""Waiting, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

__all__ = ["within"]


async def within(work: Coroutine[object, object, object], seconds: float | None) -> bool:
    """Wait for work, at most so long; say whether it ended."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    return True
