"""A simulated engine under users' work in virtual time, and its page as the sidecar reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

from serinus.engines import engine_named
from serinus.engines.exposition import read_page
from serinus.runtime.gauge import Gauge, Goals
from serinus.sidecar.pace import Measure, Pacer
from serinus.sim.engine import Engine, Pace
from serinus.sim.faults import Board, parse_plan
from serinus.sim.flavours import FLAVOURS
from serinus.sim.jobs import Job, Order
from serinus.sim.options import EngineName, SimOptions

__all__ = ["KINDS", "Course", "course"]

KINDS = ("vllm", "sglang", "llamacpp")
READ_EVERY = 1.0
PACE = Pace(slots=16, queue=1000, step_seconds=0.06, prefill_seconds=0.0003, batch_tokens=2048)


class Loaded(Engine):
    """An engine whose steps take longer with each sequence in them, as real ones do."""

    async def _work(self, cost: float) -> None:
        await super()._work(cost * (1 + self.running / 8))


class Course:
    """An engine of some kind, its users, and what the measures of its pace come to."""

    def __init__(self, kind: str, *, seed: int = 0, objective: float = 0.0) -> None:
        self.random = Random(seed)
        self.clock: Callable[[], float] = asyncio.get_running_loop().time
        self.board = Board(clock=self.clock)
        self._flavour = FLAVOURS[EngineName(kind)](SimOptions(engine=EngineName(kind), pace=PACE))
        self.engine = Loaded(PACE, self.board, observer=self._flavour.observer, clock=self.clock)
        self._kind = engine_named(kind)
        self.pacer = Pacer(self._kind.traits.pace, span=5 * READ_EVERY)
        goals = Goals(factor=3.0, first_token=0.0, token_gap=objective, share=0.95)
        self.gauge = Gauge(goals, "it", flaw=self._flawed, mend=self._mended)
        self.flaws: dict[str, str] = {}
        self.ever: list[tuple[float, str, str]] = []
        """When anything turned off, what, and by how much."""
        self.measures: list[Measure] = []
        self.users: list[asyncio.Task[None]] = []

    def _flawed(self, _: str, word: str, told: str) -> None:
        if word not in self.flaws:
            self.ever.append((self.clock(), word, told))
        self.flaws[word] = told

    def _mended(self, _: str, word: str, _told: str) -> None:
        self.flaws.pop(word, None)

    @property
    def compared(self) -> list[Measure]:
        """The measures that are compared with the past."""
        return [one for one in self.measures if one.running is not None]

    def fault(self, text: str) -> None:
        """Put a fault on, counted from now."""
        self.board.add(parse_plan(text).window(self.clock()))

    async def reads(self) -> None:
        """Read the page, again and again."""
        while True:
            await asyncio.sleep(READ_EVERY * (1 - 0.1 * self.random.random()))
            page = read_page(self._flavour.metrics().encode(), names=self._kind.metric_names)
            counters, at = self._kind.counters(page), self.clock()
            found = self.pacer.read(counters, began=at, at=at, busy=bool(counters.pending))
            self.measures += found
            for one in found:
                if one.running is None:
                    self.gauge.pace(one.gap)
                else:
                    self.gauge.pace_at(one.gap, one.running)

    def ask(self, prompt: int, tokens: int) -> Job:
        """Put a request to the engine."""
        return self.engine.submit([Order((1,) * prompt, tokens, ignore_eos=True)])

    async def answered(self, prompt: int, tokens: int) -> None:
        """Put a request to the engine, and read its answer."""
        async for _ in self.ask(prompt, tokens).deliveries():
            pass

    def some_prompt(self) -> int:
        """Return how long a prompt is: one in twenty is very long."""
        if self.random.random() < 0.05:
            return self.random.randint(5_000, 150_000)
        return self.random.randint(1, 400)

    async def client(self) -> None:
        """Be a user who asks again as soon as there is an answer, or after a while."""
        while True:
            await self.answered(self.some_prompt(), self.random.randint(1, 600))
            if self.random.random() < 0.3:
                await asyncio.sleep(self.random.expovariate(0.2))

    async def bursts(self) -> None:
        """Be many users who come in crowds."""
        async with asyncio.TaskGroup() as group:
            while True:
                for _ in range(self.random.randint(1, 12)):
                    tokens = self.random.randint(1, 800)
                    group.create_task(self.answered(self.some_prompt(), tokens))
                    await asyncio.sleep(self.random.expovariate(self.random.choice((0.5, 5, 50))))
                await asyncio.sleep(self.random.expovariate(0.05))


@asynccontextmanager
async def course(kind: str, *, seed: int = 0, objective: float = 0.0) -> AsyncIterator[Course]:
    """Let an engine run, and its page be read."""
    running = Course(kind, seed=seed, objective=objective)
    tasks = [
        asyncio.create_task(running.engine.run(), name="the engine"),
        asyncio.create_task(running.reads(), name="reads"),
    ]
    try:
        yield running
    finally:
        for task in (*tasks, *running.users):
            task.cancel()
        await asyncio.gather(*tasks, *running.users, return_exceptions=True)
