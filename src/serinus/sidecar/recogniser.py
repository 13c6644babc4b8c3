"""Fetches what tells engines apart: a few cheap pages, bounded in size, number and time."""

from __future__ import annotations

import asyncio

from serinus.engines.recognition import Finding, next_paths, recognised
from serinus.engines.signs import Sighting
from serinus.sidecar.client import EngineClient
from serinus.sidecar.contact import ContactError, Trouble

__all__ = ["recognise"]

_PATIENCE = 2.0
"""Seconds for one page."""
_ROUND = 5.0
"""Seconds for one round of them; there are two."""
_MOST_BYTES = 256 << 10
"""Of a page: vLLM's has its own samples long before that."""
_AT_ONCE = 4
_CLOSED = frozenset({Trouble.REFUSED, Trouble.UNREACHABLE, Trouble.UNRESOLVED, Trouble.OURS})


async def recognise(client: EngineClient) -> Finding:
    """Return what is found. Raises ContactError where nobody could be spoken to at all."""
    seen: list[Sighting] = []
    while paths := next_paths(seen):
        seen += await _round(client, paths)
    return recognised(seen)


async def _round(client: EngineClient, paths: tuple[str, ...]) -> list[Sighting]:
    """Fetch these paths, a few at once; what there was no time for is said to be so."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def look(path: str) -> Sighting:
        async with turns:
            return await _peek(client, path)

    looks = {path: asyncio.create_task(look(path), name=f"looks at {path}") for path in paths}
    try:
        await asyncio.wait(looks.values(), timeout=_ROUND)
    finally:
        for task in looks.values():
            task.cancel()
        await asyncio.gather(*looks.values(), return_exceptions=True)
    return [
        Sighting(path, trouble="no time left to look") if task.cancelled() else task.result()
        for path, task in looks.items()
    ]


async def _peek(client: EngineClient, path: str) -> Sighting:
    try:
        return await client.peek(path, seconds=_PATIENCE, limit=_MOST_BYTES)
    except ContactError as error:
        if error.trouble in _CLOSED:
            raise
        return Sighting(path, trouble=error.detail)
