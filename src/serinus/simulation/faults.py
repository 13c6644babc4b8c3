"""What can happen to a simulated engine, and what a judge owes to each.

The vocabulary, and windows of time. What a fault does is in `engine` and in the seams; that it is
a fault at all, and not a busy or an odd moment, is said here, once, for every judge.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from serinus.errors import SettingsError

__all__ = ["ABOUT", "FREEZES", "HARMLESS", "STOPS", "Fault", "Window", "faults_named"]


class Fault(StrEnum):
    """What can happen."""

    HANG = "hang"
    STALL = "stall"
    ERROR = "error"
    ERROR_ITEM = "error-item"
    EMPTY = "empty"
    PARTIAL = "partial"
    CRASH = "crash"
    SLOW = "slow"
    GARBAGE = "garbage"
    FROZEN_METRICS = "frozen-metrics"
    RESET_METRICS = "reset-metrics"
    SATURATION = "saturation"
    BURST = "burst"
    LONG_PREFILL = "long-prefill"
    PAUSE = "pause"
    SUSPEND = "suspend"
    LOST_ANSWER = "lost-answer"
    LATE_ANSWER = "late-answer"


ABOUT: dict[Fault, str] = {
    Fault.HANG: "the core is frozen: nothing comes, and new requests are in no metric",
    Fault.STALL: "the worker is frozen: requests are taken in and counted, no token comes",
    Fault.ERROR: "every request fails at once",
    Fault.ERROR_ITEM: "every request is answered by an item that says that it failed",
    Fault.EMPTY: "every request ends well and without a token",
    Fault.PARTIAL: "one token, then nothing more",
    Fault.CRASH: "the engine is gone, comes back and loads",
    Fault.SLOW: "everything takes many times as long",
    Fault.GARBAGE: "tokens come on time and mean nothing",
    Fault.FROZEN_METRICS: "the metrics page no longer changes",
    Fault.RESET_METRICS: "the counters begin anew",
    Fault.SATURATION: "long generations in all slots and a queue behind them",
    Fault.BURST: "many short requests at one moment",
    Fault.LONG_PREFILL: "one long prompt is read, and no other is meanwhile",
    Fault.PAUSE: "an announced pause: nothing comes until it is over",
    Fault.SUSPEND: "the host of the judge sleeps: its clock jumps",
    Fault.LOST_ANSWER: "the answer to one canary never arrives",
    Fault.LATE_ANSWER: "the answer to one canary arrives too late",
}

STOPS = frozenset(
    {
        Fault.HANG,
        Fault.STALL,
        Fault.ERROR,
        Fault.ERROR_ITEM,
        Fault.EMPTY,
        Fault.PARTIAL,
        Fault.CRASH,
    }
)
"""No user gets what was asked for: a judge must see it."""
HARMLESS = frozenset(Fault) - STOPS - {Fault.SLOW, Fault.GARBAGE}
"""Users are served, or were told to wait: a judge must not accuse the engine."""
FREEZES = frozenset({Fault.HANG, Fault.STALL, Fault.PAUSE})
"""Nothing gets done meanwhile."""


class Window(NamedTuple):
    """A fault from `start` until before `end`, in seconds of the schedule.

    `value`: how many times slower, or how many requests come at once.
    """

    fault: Fault
    start: float
    end: float
    value: float = 0.0

    def __str__(self) -> str:
        value = f"={self.value:g}" if self.value else ""
        return f"{self.fault}{value}@{self.start:.3f}s+{self.end - self.start:.3f}s"


def faults_named(text: str) -> tuple[Fault, ...]:
    """Read names between commas; `all`, `stops` and `harmless` stand for many.

    Raises SettingsError.

    >>> faults_named("hang,crash")
    (<Fault.HANG: 'hang'>, <Fault.CRASH: 'crash'>)
    """
    many = {
        "all": frozenset(Fault),
        "stops": STOPS,
        "harmless": HARMLESS,
        "none": frozenset[Fault](),
    }
    chosen: set[Fault] = set()
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name in many:
            chosen |= many[name]
        elif name in set(Fault):
            chosen.add(Fault(name))
        else:
            accepted = ", ".join([*many, *Fault])
            raise SettingsError(f"--faults: {name!r} is not known; accepted: {accepted}")
    return tuple(fault for fault in Fault if fault in chosen)
