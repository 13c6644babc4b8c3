"""Asks an engine for its own word on its health, once for all who want to know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from serinus.engines import Engine
from serinus.sidecar.client import EngineClient
from serinus.sidecar.contact import ContactError
from serinus.sidecar.words import OwnHealth

__all__ = ["Hearer"]

_PATIENCE = 2.0
_PAGE_BYTES = 64 << 10


class Hearer:
    """One engine's word, shared by its ranks, so that it is not asked once for each of them."""

    def __init__(
        self,
        engine: Engine,
        client: EngineClient,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.last: OwnHealth | None = None
        self._engine = engine
        self._client = client
        self._clock = clock
        self._lock = asyncio.Lock()

    async def hear(self, *, since: float) -> OwnHealth:
        """Return a word that was given at `since` or later."""
        async with self._lock:
            if self.last is None or self.last.at < since:
                self.last = await self._ask()
            return self.last

    async def _ask(self) -> OwnHealth:
        patience = max(_PATIENCE, 2 * self._engine.traits.health_seconds)
        try:
            page = await self._client.get(
                self._engine.health_path, seconds=patience, limit=_PAGE_BYTES
            )
        except ContactError as error:
            return OwnHealth(self._clock(), None, error.detail)
        return OwnHealth(self._clock(), page.status)
