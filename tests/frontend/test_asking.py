"""Asking an instance through its request plane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from serinus import Runtime
from serinus.core.instance import Instance
from serinus.discovery import Discovery
from serinus.discovery.memory import Memory, from_settings
from serinus.discovery.records import INSTANCES, decode
from serinus.errors import RequestError
from serinus.frontend.asking import Asking
from serinus.frontend.reach import Outcome, Reached
from serinus.request_plane.faults import Fault
from serinus.settings import Settings

pytestmark = pytest.mark.real_time


class Handler:
    """Answers as it is told, and keeps what it is asked."""

    def __init__(self) -> None:
        self.items = 1
        self.error: Exception | None = None
        self.hangs = False
        self.asked: list[Any] = []

    async def __call__(self, request: Any, _context: Any) -> AsyncIterator[dict[str, list[int]]]:
        """Answer one request."""
        self.asked.append(request)
        if self.hangs:
            await asyncio.sleep(60)
        if self.error is not None:
            raise self.error
        for _ in range(self.items):
            yield {"token_ids": [1]}


async def _reach(_: Instance) -> Reached:
    return Reached(Outcome.REACHED, "was only reached")


@asynccontextmanager
async def worker(plane: str, *, payload: bool = True) -> AsyncIterator[tuple[Handler, Instance]]:
    """A worker of the library, and its record."""
    settings = Settings(discovery_backend="memory", request_plane=plane)  # type: ignore[arg-type]
    handler, store = Handler(), from_settings(settings)
    async with Runtime(settings) as runtime, Discovery(store, lease=3.0) as discovery:
        endpoint = runtime.endpoint("demo.backend.generate")
        serving = asyncio.create_task(
            endpoint.serve_endpoint(
                handler, health_check_payload={"token_ids": [7]} if payload else None
            )
        )
        yield handler, await announced(discovery)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def announced(discovery: Discovery) -> Instance:
    """The one instance that is announced."""
    mirror = discovery.mirror(INSTANCES)
    news = asyncio.Event()
    mirror.follow(lambda _: news.set())
    async with asyncio.timeout(20):
        while not mirror.entries:
            news.clear()
            await news.wait()
    ((key, value),) = mirror.entries.items()
    return decode(key, value)


@asynccontextmanager
async def asking(*, timeout: float = 5.0) -> AsyncIterator[Asking]:
    """What asks, for a while."""
    it = Asking(_reach, timeout=timeout, bind="127.0.0.1", host="127.0.0.1", clock=lambda: 0.0)
    yield it
    await it.close()


@pytest.mark.parametrize("plane", ["tcp", "http", "both"])
async def test_the_payload_is_sent_as_by_a_client(plane: str) -> None:
    """And marked as no user's."""
    async with worker(plane) as (handler, one), asking() as ask:
        assert await ask(one) == (Outcome.REACHED, "")
        assert handler.asked[-1] == {"token_ids": [7], "_HEALTH_CHECK": True}


@pytest.mark.parametrize(
    ("change", "outcome", "reason"),
    [
        ({"items": 0}, Outcome.FAILED, "answers with nothing"),
        ({"error": RuntimeError("CUDA")}, Outcome.FAILED, "RuntimeError: CUDA"),
        ({"error": ValueError("too long")}, Outcome.REACHED, ""),
        ({"error": RequestError("full", fault=Fault.OVERLOADED)}, Outcome.REACHED, ""),
        ({"hangs": True}, Outcome.FAILED, "no whole answer in 0.5 s"),
    ],
)
async def test_what_comes_back_is_judged(
    change: dict[str, Any], outcome: Outcome, reason: str
) -> None:
    """A whole answer with something in it; or a word that it is full, or will not have this."""
    async with worker("http") as (handler, one), asking(timeout=0.5) as ask:
        for name, value in change.items():
            setattr(handler, name, value)
        assert await ask(one) == (outcome, reason)


async def test_whoever_announces_no_payload_is_reached_only() -> None:
    """Nobody knows what to ask it."""
    async with worker("tcp", payload=False) as (handler, one), asking() as ask:
        assert await ask(one) == (Outcome.REACHED, "was only reached")
        assert not handler.asked


async def test_an_instance_that_is_gone_is_a_failure() -> None:
    """Its port is closed."""
    async with worker("tcp") as (_, one):
        pass
    async with asking() as ask:
        assert (await ask(one)).outcome is Outcome.FAILED
    assert isinstance(from_settings(Settings()), Memory)
