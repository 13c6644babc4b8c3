"""Engines for tests of the runtime: each behaviour is one way in which a real one answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from serinus.core.marker import is_health_check

TOKEN = {"token_ids": [7]}


class EngineDeadError(Exception):
    """Has the name by which vLLM says that its engine is gone."""


class Engine:
    """A handler whose behaviour can be changed, and what was done with it."""

    def __init__(self, behaviour: str = "good") -> None:
        self.behaviour = behaviour
        self.towards_users: str | None = None
        """A behaviour for users' requests alone."""
        self.latency = 0.01
        """Seconds until the first item, and between items."""
        self.items: list[Any] = [TOKEN]
        self.canaries: list[float] = []
        """When each canary came."""
        self.requests = 0
        self.in_hand = 0
        self.most = 0
        self.cancelled = 0

    async def generate(self, request: Any) -> AsyncIterator[Any]:
        """Answer in the behaviour of the moment."""
        behaviour = self.behaviour
        if is_health_check(request):
            self.canaries.append(asyncio.get_running_loop().time())
        else:
            self.requests += 1
            behaviour = self.towards_users or behaviour
        self.in_hand += 1
        self.most = max(self.most, self.in_hand)
        try:
            async for item in getattr(self, f"_{behaviour}")(request):
                yield item
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_hand -= 1

    async def _good(self, request: Any) -> AsyncIterator[Any]:
        for item in self.items:
            await asyncio.sleep(self.latency)
            yield item

    async def _hangs(self, request: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(1e9)
        yield TOKEN

    async def _raises(self, request: Any) -> AsyncIterator[Any]:
        await self._fail(RuntimeError("CUDA error: device-side assert"))
        yield TOKEN

    async def _refuses(self, request: Any) -> AsyncIterator[Any]:
        await self._fail(ValueError("max_tokens: -1 is not accepted"))
        yield TOKEN

    async def _dies(self, request: Any) -> AsyncIterator[Any]:
        await self._fail(EngineDeadError("EngineCore encountered an issue"))
        yield TOKEN

    async def _cancels_itself(self, request: Any) -> AsyncIterator[Any]:
        await self._fail(asyncio.CancelledError())
        yield TOKEN

    async def _yields_nothing(self, request: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(self.latency)
        nothing: tuple[Any, ...] = ()
        for item in nothing:
            yield item

    async def _one_then_hangs(self, request: Any) -> AsyncIterator[Any]:
        yield TOKEN
        await asyncio.sleep(1e9)

    async def _one_then_raises(self, request: Any) -> AsyncIterator[Any]:
        yield TOKEN
        raise RuntimeError("lost the engine")

    async def _will_not_end(self, request: Any) -> AsyncIterator[Any]:
        """Swallow every cancellation until the behaviour is changed, or an hour has passed."""
        loop = asyncio.get_running_loop()
        until = loop.time() + 3600
        while self.behaviour == "will_not_end" and loop.time() < until:
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                continue
        yield TOKEN

    async def _fail(self, error: BaseException) -> None:
        await asyncio.sleep(self.latency)
        raise error
