"""The handlers that both rivals serve, and the ledger of what reached them.

The same code runs in Serinus' interpreter and in Dynamo's, so it imports the standard library
alone. A behaviour is an async generator function from the request to its items; which one an
endpoint shows is switched while it serves.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

Request = dict[str, Any]
Items = AsyncGenerator[Any, None]
Behaviour = Callable[[Request], Items]

TOKEN = {"token_ids": [1]}
FOREVER = 3600.0
"""Seconds: longer than any run."""


async def healthy(request: Request) -> Items:
    """As many items as asked for (1): one after ``first`` seconds, then one ``every`` so often."""
    await asyncio.sleep(request.get("first", 0))
    yield TOKEN
    for _ in range(request.get("items", 1) - 1):
        await asyncio.sleep(request.get("every", 0))
        yield TOKEN


async def hangs(_: Request) -> Items:
    """Nothing, ever."""
    await asyncio.sleep(FOREVER)
    yield TOKEN


async def raises(request: Request) -> Items:
    """An exception before the first item."""
    if "mended" not in request:
        raise RuntimeError("the engine is broken")
    yield TOKEN


async def yields_nothing(request: Request) -> Items:
    """The end of the stream, without an item."""
    for item in request.get("echo", []):
        yield item


async def is_slow(_: Request) -> Items:
    """A good answer, 0.2 s after the canary's deadline of 1 s."""
    await asyncio.sleep(1.2)
    yield TOKEN


async def yields_an_error(_: Request) -> Items:
    """A bare error."""
    yield {"error": "the engine is broken"}


async def yields_an_error_finish_reason(_: Request) -> Items:
    """A last item that says the request failed."""
    yield {"token_ids": [], "finish_reason": {"error": "the engine is broken"}}


async def yields_an_error_event(_: Request) -> Items:
    """An annotated error event."""
    yield {"event": "error", "comment": ["the engine is broken"]}


async def one_item_then_hangs(_: Request) -> Items:
    """A first token, then nothing."""
    yield TOKEN
    await asyncio.sleep(FOREVER)


async def one_item_then_raises(_: Request) -> Items:
    """A first token, then an exception."""
    yield TOKEN
    raise RuntimeError("the engine is broken")


BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (
        healthy,
        hangs,
        raises,
        yields_nothing,
        is_slow,
        yields_an_error,
        yields_an_error_finish_reason,
        yields_an_error_event,
        one_item_then_hangs,
        one_item_then_raises,
    )
}


async def plain(_: Request) -> Items:
    """One token and no ledger: where the rivals' own cost is measured."""
    yield TOKEN


@dataclass(slots=True)
class Canary:
    """One canary as its handler saw it. Times are of the system-wide monotonic clock, seconds."""

    endpoint: str
    asked_at: float
    began_at: float | None = None
    ended_at: float | None = None


class Stage:
    """What every endpoint does now, what it was asked, and the one slot of a busy engine."""

    def __init__(self, *, slots: int = 0) -> None:
        self.canaries: list[Canary] = []
        self._shown: defaultdict[str, str] = defaultdict(lambda: "healthy")
        self._slot = asyncio.Semaphore(slots) if slots else None

    def show(self, behaviour: str, endpoint: str) -> None:
        """Make the endpoint behave so from its next request on."""
        if behaviour not in BEHAVIOURS:
            raise ValueError(f"behaviour {behaviour!r} is none of {', '.join(BEHAVIOURS)}")
        self._shown[endpoint] = behaviour

    def handler(self, endpoint: str) -> Behaviour:
        """The handler to serve under that name."""

        async def generate(request: Request) -> Items:
            canary = None
            if request.get("_HEALTH_CHECK") is True:
                canary = Canary(endpoint, time.monotonic())
                self.canaries.append(canary)
            try:
                async for item in self._in_a_slot(endpoint, request, canary):
                    yield item
            finally:
                if canary is not None:
                    canary.ended_at = time.monotonic()

        return generate

    async def _in_a_slot(self, endpoint: str, request: Request, canary: Canary | None) -> Items:
        """The shown behaviour; on an engine with slots, not before one of them is free."""
        if self._slot is not None:
            await self._slot.acquire()
        if canary is not None:
            canary.began_at = time.monotonic()
        try:
            async for item in BEHAVIOURS[self._shown[endpoint]](request):
                yield item
        finally:
            if self._slot is not None:
                self._slot.release()
