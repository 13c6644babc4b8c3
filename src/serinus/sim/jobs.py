"""One request of a client: what is asked of the engine, and the tokens as they come back.

The engine puts tokens in; the one reader takes out all that have gathered since it last looked,
so that a slow reader costs no more than its answer, which `max_tokens` bounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

from serinus.sim.words import Said

__all__ = ["HEALTH_ORDER", "Delivery", "Finish", "Job", "Order"]


class Finish(StrEnum):
    """Why a sequence ended."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Order:
    """One sequence that is wanted: a prompt of token ids and at most `max_tokens` after it."""

    prompt: tuple[int, ...]
    max_tokens: int
    ignore_eos: bool = False


HEALTH_ORDER = Order((0,), 1)
"""What an engine asks of itself whose own health check generates; no counter of requests has it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Tokens of one sequence of a job, in order; with the last of them, why it ended."""

    index: int
    said: tuple[Said, ...]
    finish: Finish | None = None

    @property
    def tokens(self) -> tuple[int, ...]:
        """The ids alone."""
        return tuple(one.token for one in self.said)


class Job:
    """The sequences of one request, and the post that has come for them."""

    def __init__(self, orders: tuple[Order, ...]) -> None:
        self.orders = orders
        self._tokens: list[list[Said]] = [[] for _ in orders]
        self._finished: dict[int, Finish] = {}
        self._open = set(range(len(orders)))
        self._news = asyncio.Event()

    def deliver(self, index: int, said: Said) -> None:
        """Put a token of sequence `index` into the post."""
        self._tokens[index].append(said)
        self._news.set()

    def finish(self, index: int, reason: Finish) -> None:
        """Say that sequence `index` has ended."""
        self._finished[index] = reason
        self._news.set()

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Yield what comes, until every sequence has ended."""
        while self._open:
            await self._news.wait()
            self._news.clear()
            for index in sorted(self._open):
                tokens, reason = tuple(self._tokens[index]), self._finished.get(index)
                if tokens or reason is not None:
                    self._tokens[index].clear()
                    if reason is not None:
                        self._open.discard(index)
                    yield Delivery(index, tokens, reason)
