"""What happens to one engine, made from a seed: its pace, its users, and its faults.

A schedule is the truth that judges are measured by. It does not depend on any judge, nor on any
setting: users keep coming while an engine is not ready, as they do where a router does not listen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import merge
from math import log
from operator import attrgetter
from random import Random
from typing import NamedTuple

from serinus.simulation.faults import STOPS, Fault, Window

__all__ = ["REGIMES", "Arrival", "Pace", "Regime", "Schedule", "generate"]

QUIET_BEFORE = 120.0
"""Seconds before the first fault: an engine that is started and proven."""
LONGEST_SILENCE = 25.0
"""Seconds without a token that a healthy engine may need: a prompt that is long to read."""
USUAL_PROMPT = 1000
"""Tokens."""


class Pace(NamedTuple):
    """How fast the engine is. Seconds of work."""

    slots: int
    gap: float
    """Between two tokens of a request."""
    prefill: float
    """To read a usual prompt."""
    load: float
    """From its port opening to its first token."""


class Regime(NamedTuple):
    """How many users come, from `start` until the next regime."""

    start: float
    rate: float
    """Requests a second."""
    tokens: float
    """Tokens of an answer, on average."""
    name: str


class Arrival(NamedTuple):
    """One user's request: when, how many tokens, and the seconds of work to read its prompt.

    `patience`: seconds after which this user gives up. `prompt`: tokens, a thousand as usual.
    """

    at: float
    tokens: int
    prefill: float
    patience: float
    prompt: int = USUAL_PROMPT


class _Kind(NamedTuple):
    """How one kind of fault is drawn: its length in seconds, and its value."""

    shortest: float
    longest: float
    values: tuple[float, float] = (0.0, 0.0)


_KINDS = {
    Fault.HANG: _Kind(100, 400),
    Fault.STALL: _Kind(100, 400),
    Fault.ERROR: _Kind(100, 300),
    Fault.ERROR_ITEM: _Kind(100, 300),
    Fault.EMPTY: _Kind(100, 300),
    Fault.PARTIAL: _Kind(100, 400),
    Fault.CRASH: _Kind(100, 300),
    Fault.SLOW: _Kind(120, 400, (4, 12)),
    Fault.GARBAGE: _Kind(100, 300),
    Fault.FROZEN_METRICS: _Kind(60, 600),
    Fault.RESET_METRICS: _Kind(1, 1),
    Fault.SATURATION: _Kind(1, 1, (2, 5)),
    Fault.BURST: _Kind(1, 1, (2, 6)),
    Fault.LONG_PREFILL: _Kind(4, LONGEST_SILENCE),
    Fault.PAUSE: _Kind(20, 400),
    Fault.SUSPEND: _Kind(2, 120),
    Fault.LOST_ANSWER: _Kind(30, 30),
    Fault.LATE_ANSWER: _Kind(30, 30),
}
_REGIMES = (  # name, share of the slots that users' requests take, tokens of an answer
    ("idle", 0.0, 0.0),
    ("rare", 0.02, 150.0),
    ("light", 0.1, 250.0),
    ("steady", 0.3, 400.0),
    ("full", 0.7, 600.0),
)
"""As operators see a replica's use. A schedule is in each of them for a fifth of its time."""
_BUSY_REGIMES = _REGIMES[-2:]
"""Those in which there is hardly a moment without work."""
REGIMES = tuple(name for name, _, _ in _REGIMES)
"""What an engine's use may be, from none to full."""
_LEAST_PATIENCE, _PATIENCE = 30.0, 270.0
"""Seconds for which every user waits, and what some wait on top."""
_AT = attrgetter("at")


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that happens. Times are seconds from the beginning."""

    seed: str
    seconds: float
    pace: Pace
    regimes: tuple[Regime, ...]
    windows: tuple[Window, ...]
    arrivals: tuple[Arrival, ...] = field(init=False, repr=False, compare=False)
    """The users' requests, in the order in which they come: drawn once, for all judges."""

    def __post_init__(self) -> None:
        usual = self._usual(Random(f"{self.seed}/users"))
        crowds = sorted(self._crowds(), key=_AT)
        object.__setattr__(self, "arrivals", tuple(merge(crowds, usual, key=_AT)))

    def lines(self) -> Iterator[str]:
        """Say it all in lines that are the same for the same seed."""
        p = self.pace
        yield f"schedule {self.seed}: {self.seconds:.3f} s"
        yield f"  {p.slots} slots, {p.gap:.6f} s a token, {p.prefill:.6f} s a prompt"
        for regime in self.regimes:
            yield f"  {regime.start:12.3f}  users: {regime.name} ({regime.rate:.4f}/s)"
        for window in self.windows:
            yield f"  {window.start:12.3f}  {window}"

    def regime(self, at: float) -> str:
        """Name the use that the engine is in at `at`."""
        return next(one.name for one in reversed(self.regimes) if one.start <= at)

    def _usual(self, random: Random) -> Iterator[Arrival]:
        """Draw as `expovariate` and `uniform` do, whose calls cost more than what they compute."""
        draw, pace = random.random, self.pace
        ends = [*(regime.start for regime in self.regimes[1:]), self.seconds]
        for regime, end in zip(self.regimes, ends, strict=True):
            if not regime.rate:
                continue
            rate, end_rate = regime.rate, 1 / regime.tokens
            at = regime.start - log(1.0 - draw()) / rate
            while at < end:
                tokens = 1 + int(-log(1.0 - draw()) / end_rate)
                length = 0.5 + draw()
                patience = _LEAST_PATIENCE + _PATIENCE * draw()
                yield Arrival(
                    at, tokens, pace.prefill * length, patience, int(USUAL_PROMPT * length)
                )
                at -= log(1.0 - draw()) / rate

    def _crowds(self) -> Iterator[Arrival]:
        random = Random(f"{self.seed}/crowds")
        for window in self.windows:
            if window.fault in {Fault.SATURATION, Fault.BURST}:
                longest = 1500 if window.fault is Fault.SATURATION else 40
                for number in range(int(window.value * self.pace.slots)):
                    tokens = random.randint(longest // 2, longest)
                    at = window.start + number * 1e-3
                    yield Arrival(at, tokens, self.pace.prefill, 1e6)
            elif window.fault is Fault.LONG_PREFILL:
                times = (window.end - window.start) / self.pace.prefill
                prompt = int(USUAL_PROMPT * times)
                yield Arrival(window.start, 20, self.pace.prefill, 1e6, prompt)


def generate(
    seed: str, *, seconds: float, faults: Sequence[Fault] = tuple(Fault), busy: bool = False
) -> Schedule:
    """Draw a schedule. `busy`: there are always users. The same arguments give the same one."""
    random = Random(seed)
    pace = Pace(
        slots=random.choice((4, 8, 16)),
        gap=random.uniform(0.01, 0.04),
        prefill=random.uniform(0.01, 0.2),
        load=random.uniform(5.0, 40.0),
    )
    regimes = tuple(_regimes(random, seconds, pace, busy=busy))
    windows = tuple(_windows(random, seconds, tuple(faults)))
    return Schedule(seed, seconds, pace, regimes, windows)


def _regimes(random: Random, seconds: float, pace: Pace, *, busy: bool) -> Iterator[Regime]:
    at = 0.0
    while at < seconds:
        name, share, tokens = random.choice(_BUSY_REGIMES if busy else _REGIMES)
        rate = share * pace.slots / (pace.prefill + tokens * pace.gap)
        yield Regime(at, rate, tokens, name)
        at += random.uniform(300, 1500)


def _windows(random: Random, seconds: float, faults: tuple[Fault, ...]) -> Iterator[Window]:
    """One after the other, with time in between to recover and to be idle again."""
    at = QUIET_BEFORE + random.uniform(0, 300)
    while faults:
        fault = random.choice(faults)
        kind = _KINDS[fault]
        length = random.uniform(kind.shortest, kind.longest)
        value = float(round(random.uniform(*kind.values))) if kind.values[1] else 0.0
        if at + length + 200 > seconds:
            return
        yield Window(fault, round(at, 3), round(at + length, 3), value)
        rest = 300.0 if fault in STOPS else 120.0
        at += length + rest + random.uniform(0, 300)
