"""Which fault is on, from when to when.

A board holds windows of time; the engine and the server ask it what is on now and when that may
change. It does not know what a fault does: that is the business of those who ask.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from serinus.errors import SettingsError

__all__ = ["ABOUT", "VALUED", "Board", "Fault", "Plan", "Window", "parse_plan", "parse_seconds"]

MOST_WINDOWS = 256  # a board that is fed by a runaway script says so instead of growing


class Fault(StrEnum):
    """What can go wrong."""

    HANG = "hang"
    STALL = "stall"
    SLOW = "slow"
    ERROR = "error"
    EMPTY = "empty"
    GARBAGE = "garbage"
    NAN = "nan"
    REPEAT = "repeat"
    DRIFT = "drift"
    NOISE = "noise"
    PARTIAL = "partial"
    REFUSE = "refuse"
    FROZEN_METRICS = "frozen-metrics"
    SATURATE = "saturate"
    CRASH = "crash"


#: What a client sees of each, in one line for `--help`.
ABOUT: dict[Fault, str] = {
    Fault.HANG: "the core is frozen: nothing steps, and new requests are in no metric",
    Fault.STALL: "the worker is frozen: requests are taken in and counted, no token comes",
    Fault.SLOW: "everything takes VALUE times as long (default 10)",
    Fault.ERROR: "every generation fails: 500, or an error item in the stream",
    Fault.EMPTY: "every generation ends without a token",
    Fault.GARBAGE: "every token is '!'; all counts are right",
    Fault.NAN: "NaN: every log-probability is null, and every token '!'",
    Fault.REPEAT: "an answer that has begun says its last token for ever",
    Fault.DRIFT: "other weights: other tokens, log-probabilities off by VALUE (1)",
    Fault.NOISE: "no fault: in company numbers vary by up to VALUE (0.1), and near ties turn",
    Fault.PARTIAL: "one token, then nothing more",
    Fault.REFUSE: "the port is closed",
    Fault.FROZEN_METRICS: "the metrics page no longer changes",
    Fault.SATURATE: "long generations in all slots, and VALUE more in the queue (default: slots)",
    Fault.CRASH: "the process is gone, at once",
}

#: Faults that take a value, and the value they have when none is given (None: the engine chooses).
VALUED: dict[Fault, float | None] = {
    Fault.SLOW: 10.0,
    Fault.SATURATE: None,
    Fault.DRIFT: 1.0,
    Fault.NOISE: 0.1,
}

_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")
_PLAN = re.compile(
    r"(?P<name>[^:=@+]+)(?::rank=(?P<rank>[^:=@+]*))?(?:=(?P<value>[^@+]*))?(?:@(?P<after>[^+]*))?(?:\+(?P<seconds>.*))?"
)
_SHAPE = (
    "NAME[:rank=N][=VALUE][@START][+DURATION], as in 'hang@30s+20s', 'slow=10@1m' or"
    " 'hang:rank=2@30s'"
)
WHOLE = frozenset({Fault.REFUSE, Fault.CRASH, Fault.FROZEN_METRICS})
"""Faults of the server, which no rank has for itself."""


@dataclass(frozen=True, slots=True)
class Window:
    """A fault that is on from `start` until before `end` (times of the board's clock, seconds)."""

    fault: Fault
    start: float
    end: float = math.inf
    value: float | None = None
    rank: int | None = None
    """The rank that alone has it; None: all of them."""

    def covers(self, now: float) -> bool:
        """Say whether the fault is on at `now`."""
        return self.start <= now < self.end


@dataclass(frozen=True, slots=True)
class Plan:
    """A fault that is to begin `after` seconds and to last for `seconds`, None being for good."""

    fault: Fault
    after: float = 0.0
    seconds: float | None = None
    value: float | None = None
    rank: int | None = None

    def __post_init__(self) -> None:
        if self.rank is not None and self.fault in WHOLE:
            raise SettingsError(f"fault '{self.fault}' is of the whole server, and has no rank")
        if self.value is not None and self.fault not in VALUED:
            raise SettingsError(
                f"fault '{self.fault}' takes no value, and was given {self.value:g}; "
                f"those that take one: {', '.join(VALUED)}"
            )
        if self.value is not None and self.value <= 0:
            raise SettingsError(
                f"fault '{self.fault}': a value above 0 is accepted, not {self.value:g}"
            )
        if self.fault is Fault.SATURATE and self.value is not None and self.value % 1:
            raise SettingsError(
                f"fault 'saturate': the depth of the queue is a whole number, not {self.value:g}"
            )
        if self.seconds is not None and self.seconds <= 0:
            raise SettingsError(
                f"fault '{self.fault}': a duration above 0 s is accepted, not {self.seconds:g}"
            )

    def window(self, began: float) -> Window:
        """Return the window of time, counted from `began`."""
        start = began + self.after
        end = math.inf if self.seconds is None else start + self.seconds
        value = VALUED.get(self.fault) if self.value is None else self.value
        return Window(self.fault, start, end, value, self.rank)


def parse_seconds(text: str) -> float:
    """Read a duration such as `500ms`, `20`, `20s`, `2m` or `1h` and return seconds.

    Raises:
        SettingsError: It is none of these.

    >>> parse_seconds("500ms"), parse_seconds("20"), parse_seconds("2m")
    (0.5, 20.0, 120.0)
    """
    match = _SECONDS.fullmatch(text.strip())
    if match is None:
        raise SettingsError(f"'{text}' is not a duration; accepted: 500ms, 20, 20s, 2m, 1h")
    return float(match[1]) * _UNITS[match[2]]


def parse_fault(name: str) -> Fault:
    """Find a fault by its name.

    Raises:
        SettingsError: There is none of this name.
    """
    try:
        return Fault(name)
    except ValueError:
        raise SettingsError(f"unknown fault '{name}'; accepted: {', '.join(Fault)}") from None


def parse_plan(text: str) -> Plan:
    """Read `NAME[:rank=N][=VALUE][@START][+DURATION]`.

    No rank is all of them, no start is at once, no duration is for good.

    Raises:
        SettingsError: The message says which part was not understood, and what is accepted.

    >>> parse_plan("hang@30s+20s")
    Plan(fault=<Fault.HANG: 'hang'>, after=30.0, seconds=20.0, value=None, rank=None)
    """
    match = _PLAN.fullmatch(text.strip())
    if match is None:
        raise SettingsError(f"a fault is written {_SHAPE}")
    fault = parse_fault(match["name"])
    return Plan(
        fault,
        after=0.0 if match["after"] is None else parse_seconds(match["after"]),
        seconds=None if match["seconds"] is None else parse_seconds(match["seconds"]),
        value=None if match["value"] is None else _number(match["value"]),
        rank=None if match["rank"] is None else _rank(match["rank"]),
    )


def _rank(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise SettingsError(f"'{text}' is not a rank: 0, 1, 2 …; a fault is written {_SHAPE}")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SettingsError(f"'{text}' is not a number; a fault is written {_SHAPE}")
    return value


class Board:
    """What is on now, what is planned, and who wants to hear of changes."""

    def __init__(
        self, windows: Iterable[Window] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._windows = list(windows)
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []
        self._rank: int | None = None

    def of_rank(self, rank: int) -> Board:
        """Return a view of this board as one rank sees it: what is on for all, and for itself."""
        view = Board(clock=self._clock)
        view._windows, view._listeners, view._rank = self._windows, self._listeners, rank
        return view

    def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever a window is added or taken away (not when time opens one)."""
        self._listeners.append(changed)

    def add(self, window: Window) -> None:
        """Put a window on the board.

        Raises:
            SettingsError: The board is full of windows that are not over.
        """
        now = self._clock()
        self._windows[:] = [each for each in self._windows if now < each.end]
        if len(self._windows) >= MOST_WINDOWS:
            raise SettingsError(f"at most {MOST_WINDOWS} faults can be on or planned at a time")
        self._windows.append(window)
        self._tell()

    def clear(self, fault: Fault | None = None) -> None:
        """End `fault`, or every fault, and forget what was planned of it."""
        kept = [] if fault is None else [each for each in self._windows if each.fault is not fault]
        self._windows[:] = kept
        self._tell()

    def window(self, fault: Fault) -> Window | None:
        """Return the window in which `fault` is on now; of several, the latest to begin."""
        now = self._clock()
        on = [w for w in self._windows if w.fault is fault and w.covers(now) and self._mine(w)]
        return max(on, key=lambda each: each.start, default=None)

    def on(self, *faults: Fault) -> bool:
        """Say whether any of these is on now."""
        return any(self.window(fault) is not None for fault in faults)

    def active(self) -> tuple[Window, ...]:
        """Return what is on now, in the order in which it began."""
        now = self._clock()
        return tuple(sorted((w for w in self._windows if w.covers(now)), key=lambda w: w.start))

    def planned(self) -> tuple[Window, ...]:
        """Return what is to begin, soonest first."""
        now = self._clock()
        return tuple(sorted((w for w in self._windows if now < w.start), key=lambda w: w.start))

    def next_change(self) -> float:
        """Return the seconds until time itself opens or ends a window; infinite if never."""
        now = self._clock()
        edges = (edge - now for w in self._windows for edge in (w.start, w.end))
        return min((edge for edge in edges if edge > 0), default=math.inf)

    def _mine(self, window: Window) -> bool:
        return window.rank is None or self._rank is None or window.rank == self._rank

    def _tell(self) -> None:
        for changed in self._listeners:
            changed()
