"""Continuous batching in time, without a model.

Requests wait in an inbox until the core looks at it, then in a queue until a slot is free. Each
step gives one token to every sequence whose prompt has been read. A step takes `step_seconds`, and
`prefill_seconds` more for each prompt token it reads (at most `batch_tokens` a step).

The core is one loop, as in the engines it stands for. That is why its faults look as theirs do:
when it hangs, the inbox is not looked at, so a new request is in no gauge; when only the work
stalls, requests are still taken in, and no counter of tokens moves. What an observer is told is
told at steps only, and so the last thing it heard stays true for it while nothing steps.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from serinus.errors import SerinusError
from serinus.sim import words
from serinus.sim.faults import Board, Fault
from serinus.sim.jobs import Finish, Job, Order
from serinus.sim.observer import Ended, Observer, Silent, Step

__all__ = ["Engine", "Pace", "QueueFullError"]

#: An internal generation of the fault `saturate`: long, and not all of one length.
SATURATING_PROMPT = (words.BOS,) * 64
SATURATING_TOKENS = (1500, 1100, 1900, 1300, 1700)

_EPSILON = 1e-9  # seconds; below this a step counts as done


class QueueFullError(SerinusError):
    """The slots and the queue are full: the request was not taken in."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How much the engine does at once, and how fast.

    `slots` sequences run at once and `queue` may wait. `answer_tokens` is how long an answer is
    that nothing else ends.
    """

    slots: int = 8
    queue: int = 256
    step_seconds: float = 0.02
    prefill_seconds: float = 0.0001
    batch_tokens: int = 2048
    answer_tokens: int = 128


@dataclass(eq=False, slots=True)
class _Sequence:
    order: Order
    arrived: float
    job: Job | None = None  # none: internal load
    index: int = 0
    admitted: float = 0.0
    prefilled: int = 0
    tokens: int = 0
    first: float | None = None
    latest: float = 0.0
    said: words.Said | None = None


@dataclass(slots=True)
class _Tally:
    prompt_tokens: int = 0
    computed: int = 0
    tokens: int = 0
    first_tokens: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)


class Engine:
    """The engine: `submit` jobs to it, and let `run` run."""

    def __init__(
        self,
        pace: Pace,
        board: Board,
        *,
        observer: Observer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pace = pace
        self._board = board
        self._observer = observer or Silent()
        self._clock = clock
        self._wake = asyncio.Event()
        board.listen(self._wake.set)
        self._inbox: deque[_Sequence] = deque()
        self._waiting: deque[_Sequence] = deque()
        self._running: list[_Sequence] = []
        self._asleep = False
        self._made = 0  # internal generations so far, for their lengths

    @property
    def running(self) -> int:
        """The sequences that hold a slot."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """The sequences that the core has seen and has no slot for."""
        return len(self._waiting)

    @property
    def unseen(self) -> int:
        """The sequences that the core has not looked at yet."""
        return len(self._inbox)

    def submit(self, orders: Iterable[Order]) -> Job:
        """Take a request in and return its job.

        Raises:
            QueueFullError: Not all of its sequences fit into the slots and the queue.
        """
        job = Job(tuple(orders))
        now = self._clock()
        taken = len(self._inbox) + len(self._waiting) + len(self._running)
        if taken + len(job.orders) > self.pace.slots + self.pace.queue:
            self._observer.refused()
            raise QueueFullError(
                f"{taken} sequences are in {self.pace.slots} slots and a queue of {self.pace.queue}"
            )
        self._inbox.extend(
            _Sequence(order, now, job, index) for index, order in enumerate(job.orders)
        )
        self._wake.set()
        return job

    def abort(self, job: Job) -> None:
        """Let the sequences of a job go, wherever they are; those that ended are left alone.

        As in vLLM, they are then in no counter of finished requests.
        """
        for sequence in self._take_out(job):
            job.finish(sequence.index, Finish.ABORT)

    @property
    def asleep(self) -> bool:
        """Whether it was put to sleep: its loop takes its turns, and steps nothing."""
        return self._asleep

    def sleep(self, *, abort: bool) -> None:
        """Step nothing more until `wake`; with `abort`, let everything go that is under way."""
        self._asleep = True
        if abort:
            jobs = {one.job for one in (*self._inbox, *self._waiting, *self._running)}
            for job in jobs:
                if job is None:
                    self._take_out(None)
                else:
                    self.abort(job)
            self._tell(_Tally())
        self._wake.set()

    def wake(self) -> None:
        """Go on."""
        self._asleep = False
        self._wake.set()

    async def turn(self) -> None:
        """Wait until the core's loop can take its turn; while it hangs it cannot."""
        while self._board.on(Fault.HANG):  # noqa: ASYNC110 - pages look, so that none is kept
            await asyncio.sleep(min(0.05, self._board.next_change()))

    async def run(self) -> NoReturn:
        """Step for as long as there is work, and wait for more; end by cancellation only."""
        while True:
            while self._asleep or self._board.on(Fault.HANG):
                await self._pause(math.inf)
            self._take_in()
            if not self._running:
                self._tell(_Tally())
                await self._pause(math.inf)
                continue
            reading = self._reading()
            await self._work(
                self.pace.step_seconds + sum(reading.values()) * self.pace.prefill_seconds
            )
            self._advance(reading)

    def _take_out(self, job: Job | None) -> list[_Sequence]:
        """Remove what belongs to a job (None: the internal load), and return it."""
        taken: list[_Sequence] = []
        for place in (self._inbox, self._waiting, self._running):
            mine = [each for each in place if each.job is job]
            for sequence in mine:
                place.remove(sequence)
            taken += mine
        if taken:
            self._wake.set()
        return taken

    async def _pause(self, seconds: float) -> None:
        """Wait for `seconds`, and no longer than until something may have changed."""
        limit = min(seconds, self._board.next_change())
        try:
            async with asyncio.timeout(None if math.isinf(limit) else limit):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _work(self, cost: float) -> None:
        """Spend `cost` seconds of work: slower under a fault, and not at all while hung."""
        while cost > _EPSILON:
            began, rate = self._clock(), self._rate()
            if not rate and not self._asleep and not self._board.on(Fault.HANG):
                self._take_in()
                self._tell(_Tally())
            await self._pause(cost / rate if rate else math.inf)
            cost -= (self._clock() - began) * rate

    def _rate(self) -> float:
        if self._asleep or self._board.on(Fault.HANG, Fault.STALL):
            return 0.0
        slow = self._board.window(Fault.SLOW)
        return 1.0 if slow is None or slow.value is None else 1.0 / slow.value

    def _take_in(self) -> None:
        """Look at the inbox, keep up the internal load, and fill the free slots."""
        self._waiting.extend(self._inbox)
        self._inbox.clear()
        self._saturate()
        now = self._clock()
        while self._waiting and len(self._running) < self.pace.slots:
            sequence = self._waiting.popleft()
            sequence.admitted = now
            self._running.append(sequence)

    def _saturate(self) -> None:
        window = self._board.window(Fault.SATURATE)
        if window is None:
            self._take_out(None)
            return
        depth = self.pace.slots if window.value is None else int(window.value)
        full = self.pace.slots + min(depth, self.pace.queue)
        while len(self._running) + len(self._waiting) < full:
            length = SATURATING_TOKENS[self._made % len(SATURATING_TOKENS)]
            self._made += 1
            order = Order(SATURATING_PROMPT, length, ignore_eos=True)
            self._waiting.append(_Sequence(order, self._clock()))

    def _reading(self) -> dict[_Sequence, int]:
        """Plan how many prompt tokens each sequence reads in this step."""
        left, reading = self.pace.batch_tokens, {}
        for sequence in self._running:
            share = min(len(sequence.order.prompt) - sequence.prefilled, left)
            if share > 0:
                reading[sequence] = share
                left -= share
        return reading

    def _advance(self, reading: dict[_Sequence, int]) -> None:
        """Do what the step has paid for."""
        tally = _Tally()
        for sequence in tuple(self._running):
            read = reading.get(sequence, 0)
            sequence.prefilled += read
            tally.computed += read
            if sequence.prefilled >= len(sequence.order.prompt):
                self._give(sequence, tally)
        self._tell(tally)

    def _give(self, sequence: _Sequence, tally: _Tally) -> None:
        """Give a sequence its next token, or what the faults have for it instead."""
        board = self._board
        if board.on(Fault.ERROR):
            self._end(sequence, Finish.ERROR, tally)
        elif board.on(Fault.EMPTY):
            self._end(sequence, Finish.STOP, tally)
        elif not (sequence.tokens and board.on(Fault.PARTIAL)):
            self._token(sequence, tally)

    def _token(self, sequence: _Sequence, tally: _Tally) -> None:
        now, order = self._clock(), sequence.order
        if sequence.first is None:
            sequence.first = now
            tally.prompt_tokens += len(order.prompt)
            tally.first_tokens.append(now - sequence.arrived)
        else:
            tally.gaps.append(now - sequence.latest)
        tally.tokens += 1
        tally.computed += 1
        sequence.latest = now
        if sequence.job is not None:
            sequence.said = self._says(sequence)
            sequence.job.deliver(sequence.index, sequence.said)
        sequence.tokens += 1
        if sequence.tokens >= order.max_tokens:
            self._end(sequence, Finish.LENGTH, tally)
        elif not order.ignore_eos and sequence.tokens >= self.pace.answer_tokens:
            self._end(sequence, Finish.STOP, tally)

    def _says(self, sequence: _Sequence) -> words.Said:
        """Return the next token of a sequence, or what the faults have for it instead."""
        board, last = self._board, sequence.said
        said = words.said(sequence.order.prompt, sequence.tokens)
        if board.on(Fault.NAN):
            return words.NAN
        if board.on(Fault.GARBAGE):
            return said._replace(token=words.GARBAGE)
        if board.on(Fault.REPEAT) and last is not None:
            return last
        drift, noise = board.window(Fault.DRIFT), board.window(Fault.NOISE)
        if drift is not None and drift.value is not None:
            other = words.other_token(said.token) if sequence.tokens % 5 == 4 else said.token
            off = drift.value
            said = words.Said(other, said.logprob - off, said.rival, said.rival_logprob - off)
        if noise is not None and noise.value is not None and len(self._running) > 1:
            return self._noisy(said, noise.value, sequence)
        return said

    def _noisy(self, said: words.Said, most: float, sequence: _Sequence) -> words.Said:
        """Return what becomes of a token in company: another company, other numbers."""
        company = hash((len(self._running), sequence.tokens, sequence.order.prompt))
        off = (company % 2001 / 1000 - 1) * most
        if said.nearly(most) and company % 2:
            return words.Said(said.rival, said.rival_logprob + off, said.token, said.logprob + off)
        return said._replace(logprob=said.logprob + off, rival_logprob=said.rival_logprob - off)

    def _end(self, sequence: _Sequence, reason: Finish, tally: _Tally) -> None:
        """Let a running sequence go that came to its end."""
        self._running.remove(sequence)
        now, arrived, admitted = self._clock(), sequence.arrived, sequence.admitted
        first = now if sequence.first is None else sequence.first
        latest = now if sequence.first is None else sequence.latest
        tally.ended.append(
            Ended(
                reason,
                sequence.order,
                sequence.tokens,
                total=now - arrived,
                queued=admitted - arrived,
                prefill=first - admitted,
                decode=latest - first,
            )
        )
        if sequence.job is not None:
            sequence.job.finish(sequence.index, reason)

    def _tell(self, tally: _Tally) -> None:
        self._observer.stepped(
            Step(
                running=len(self._running),
                waiting=len(self._waiting),
                prompt_tokens=tally.prompt_tokens,
                computed_tokens=tally.computed,
                tokens=tally.tokens,
                kept_tokens=sum(each.prefilled + each.tokens for each in self._running),
                first_tokens=tuple(tally.first_tokens),
                gaps=tuple(tally.gaps),
                ended=tuple(tally.ended),
            )
        )
