"""An engine in virtual time, with everything that a test wants to see of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from serinus.sim.engine import Engine, Pace
from serinus.sim.faults import Board, Fault, Plan, parse_plan
from serinus.sim.jobs import Finish, Job, Order
from serinus.sim.observer import Ended, Step

#: Round numbers: a step is a second, and reading a prompt costs nothing.
SECONDS = Pace(slots=2, queue=4, step_seconds=1.0, prefill_seconds=0.0, answer_tokens=5)


class Notebook:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.refusals = 0

    def stepped(self, step: Step) -> None:
        """Keep a step."""
        self.steps.append(step)

    def refused(self) -> None:
        """Count a refusal."""
        self.refusals += 1

    @property
    def now(self) -> Step:
        """What was told last."""
        return self.steps[-1]

    @property
    def tokens(self) -> int:
        """The answer tokens of all steps."""
        return sum(step.tokens for step in self.steps)

    @property
    def ended(self) -> list[Ended]:
        """The sequences that came to their end."""
        return [each for step in self.steps for each in step.ended]


@dataclass
class Reading:
    """What came of one job: when each token came (seconds since the rig began), and the ends."""

    times: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    ends: list[Finish] = field(default_factory=list)


class Rig:
    """An engine, its board and its observer."""

    def __init__(self, pace: Pace) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.notes = Notebook()
        self.board = Board(clock=self._loop.time)
        self.engine = Engine(pace, self.board, observer=self.notes, clock=self._loop.time)

    @property
    def now(self) -> float:
        """Seconds since the rig began."""
        return round(self._loop.time() - self._began, 6)

    def fault(self, text: str) -> None:
        """Put a fault on the board, counted from now."""
        self.board.add(parse_plan(text).window(self._loop.time()))

    def plan(self, plan: Plan) -> None:
        """Put a planned fault on the board."""
        self.board.add(plan.window(self._loop.time()))

    def clear(self, fault: Fault | None = None) -> None:
        """Take faults off."""
        self.board.clear(fault)

    def submit(self, *, prompt: int = 1, tokens: int = 3, ignore_eos: bool = True) -> Job:
        """Ask for one sequence, with a prompt of so many tokens."""
        return self.engine.submit([Order((7,) * prompt, tokens, ignore_eos=ignore_eos)])

    async def read(self, job: Job) -> Reading:
        """Read a job to its end."""
        reading = Reading()
        async for delivery in job.deliveries():
            reading.times += [self.now] * len(delivery.tokens)
            reading.tokens += delivery.tokens
            if delivery.finish is not None:
                reading.ends.append(delivery.finish)
        return reading

    async def ask(self, *, prompt: int = 1, tokens: int = 3, ignore_eos: bool = True) -> Reading:
        """Ask for one sequence and read it to its end."""
        return await self.read(self.submit(prompt=prompt, tokens=tokens, ignore_eos=ignore_eos))


@asynccontextmanager
async def running(pace: Pace = SECONDS) -> AsyncIterator[Rig]:
    """Run an engine for as long as the block lasts."""
    rig = Rig(pace)
    task = asyncio.create_task(rig.engine.run(), name="engine under test")
    try:
        yield rig
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled(), task
