"""How long users' work takes from token to token, by one reading of an engine's page after another.

Slow because busy is not degraded: a time is compared with those at the same load. So what is
compared is taken from stretches of time in which as many requests ran at the end as at the
beginning (an eighth more or fewer, where there are many), none waited, and hardly a prompt was
read: not more tokens of prompts than of answers. Stretches of one load are put together until they
are enough for one measure. What an objective asks for holds under any load, and is taken from all.

That requests begin and end within a stretch does no harm where the page has a sum of times of its
own: each of those is whole. Where steps are counted by our clock, a page that was late says too
little of when, and the stretch goes on until that is little of it. A counter that went down is
another engine's, and all begins anew. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

from serinus.core.performance import level_of
from serinus.engines import Counters, Pace

__all__ = ["Measure", "Pacer"]

_ROUNDS = 8
"""Tokens of one request that a time is the mean of, at the least."""
_NEARLY = 1 / 8
"""The part by which there may be more or fewer requests at the end of a stretch."""
_READING = 0.5
"""Requests that may be reading their prompts, in the mean over a stretch: less than one."""
_LATE = 1 / 4
"""The part of a stretch that may be in doubt by how long the pages took."""


class Measure(NamedTuple):
    """A mean time from token to token, in seconds, and at what load; under any, if that is None."""

    gap: float
    running: int | None = None


class _Reading(NamedTuple):
    """A page, asked for at `began` and known at `at`."""

    counters: Counters
    began: float
    at: float


class _Sum(NamedTuple):
    """Stretches put together: `rounds` are the tokens of one request in them."""

    seconds: float = 0.0
    rounds: float = 0.0
    lasted: float = 0.0

    def plus(self, other: _Sum) -> _Sum:
        """Put two together."""
        return _Sum(*(one + more for one, more in zip(self, other, strict=True)))

    @property
    def gap(self) -> float:
        """The mean time from token to token."""
        return self.seconds / self.rounds


class Pacer:
    """Takes readings, and says now and then how long a token takes.

    `span`: seconds that what a measure is taken from has lasted, at the least.
    """

    def __init__(self, pace: Pace, *, span: float) -> None:
        self._pace = pace
        self._span = span
        self._last: _Reading | None = None
        self._start: _Reading | None = None
        """Where the stretch begins that may be compared; None: at the next reading."""
        self._unread = True
        """Whether a request may have begun whose prompt has shown nowhere."""
        self._unclear = False
        """And whether one was seen that may be of another, which has ended."""
        self._any = _Sum()
        self._like: dict[int, _Sum] = {}
        """By the level of load."""

    def forget(self) -> None:
        """Begin anew: what was under way is not as usual, or another engine's."""
        self._last = self._start = None
        self._unread, self._unclear = True, False
        self._any = _Sum()
        self._like.clear()

    def lost(self) -> None:
        """Take in that there was no reading: for too long nobody knows how many ran."""
        self._start = None

    def read(
        self, counters: Counters, *, began: float, at: float, busy: bool
    ) -> tuple[Measure, ...]:
        """Take a reading, and return what is known by it; `busy`: with users' work in flight."""
        if self._pace is Pace.UNKNOWN:
            return ()
        now, last = _Reading(counters, began, at), self._last
        if last is not None and _fell(last.counters, counters):
            self.forget()
            last = None
        self._last = now
        if last is None or not busy:
            self._start = None
        self._note_prompts(last, now)
        if last is None or not busy:
            return ()
        found = (self._under_any_load(last, now), self._at_its_load(now))
        return tuple(one for one in found if one is not None)

    def _under_any_load(self, last: _Reading, now: _Reading) -> Measure | None:
        if self._pace is Pace.STEPS:
            return None  # a step may have read prompts alone, and brought nobody a token
        taken = self._taken(last, now)
        if taken is None:
            return None
        self._any = whole = self._any.plus(taken)
        if not self._enough(whole):
            return None
        self._any = _Sum()
        return Measure(whole.gap)

    def _at_its_load(self, now: _Reading) -> Measure | None:
        start, self._start = self._start, now
        if start is None or not self._alike(start, now):
            return None
        taken = self._taken(start, now)
        if taken is None or self._vague(start, now):
            self._start = start  # a token may take longer than it is from one reading to the next
            return None
        if self._prompts_read(start, now, taken):
            if self._pace is Pace.OWN:
                self._start = None  # a time that ends in the next stretch may have begun in this
            return None
        running = round(max(start.counters.running or 0, now.counters.running or 0))
        level = level_of(running)
        whole = self._like.get(level, _Sum()).plus(taken)
        if not self._enough(whole):
            self._like[level] = whole
            return None
        self._like.pop(level, None)
        return Measure(whole.gap, running)

    def _enough(self, whole: _Sum) -> bool:
        return whole.rounds >= _ROUNDS and whole.lasted >= self._span

    def _taken(self, start: _Reading, now: _Reading) -> _Sum | None:
        """Return what the page has of the time in between; None where no token came."""
        before, after = start.counters, now.counters
        lasted = now.at - start.at
        if self._pace is Pace.STEPS:
            steps = _moved(before.steps, after.steps)
            return _Sum(lasted, steps, lasted) if steps else None
        gaps = _moved(before.gaps, after.gaps)
        seconds = _moved(before.gap_seconds, after.gap_seconds)
        if not gaps or seconds is None:
            return None
        requests = max(before.running or 0, after.running or 0, 1)
        rounds = gaps if self._pace is Pace.OWN_APART else gaps / requests
        return _Sum(seconds / gaps * rounds, rounds, lasted)

    def _alike(self, start: _Reading, now: _Reading) -> bool:
        """Whether as many requests ran at the end as at the beginning, and none waited."""
        before, after = start.counters, now.counters
        if not before.running or not after.running or before.waiting or after.waiting:
            return False
        off = abs(after.running - before.running)
        return off <= _NEARLY * max(before.running, after.running)

    def _vague(self, start: _Reading, now: _Reading) -> bool:
        """Whether by our clock too little is known of when it began and ended: pages were late."""
        doubt = start.at - start.began + now.at - now.began
        return self._pace is Pace.STEPS and doubt > _LATE * (now.at - start.at)

    def _prompts_read(self, start: _Reading, now: _Reading, taken: _Sum) -> bool:
        """Whether prompts were read in between, so that each token took longer than it need."""
        if self._pace is Pace.OWN_APART:
            return False
        before, after = start.counters, now.counters
        running = max(before.running or 0, after.running or 0)
        prompts = _moved(before.prompts, after.prompts)
        if prompts is None or prompts > taken.rounds * running or self._unread:
            return True
        if self._pace is not Pace.OWN_BY_STEP:
            return False
        gaps, steps = _moved(before.gaps, after.gaps), _moved(before.steps, after.steps)
        return not gaps or not steps or running - gaps / steps > _READING

    def _note_prompts(self, last: _Reading | None, now: _Reading) -> None:
        """Keep account of whether all that run may be reading, where that does not show at once.

        Whoever begins has a prompt, of which at least a token is read and shown when anybody's
        token comes.
        """
        if self._pace is not Pace.STEPS:
            self._unread = False
            return
        if last is None or not now.counters.running:
            self._unread, self._unclear = True, False
            return
        before, after = last.counters, now.counters
        more = (after.running or 0) - (before.running or 0)
        ended = bool(_moved(before.ended, after.ended))
        if _moved(before.prompts, after.prompts):
            unclear = self._unread and ended  # it may have been the one that ended
            self._unread, self._unclear = unclear and not self._unclear, unclear
        elif more > 0 or (ended and more == 0):
            self._unread = True


def _moved(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _fell(before: Counters, after: Counters) -> bool:
    pairs = (
        (before.steps, after.steps),
        (before.prompts, after.prompts),
        (before.ended, after.ended),
        (before.gaps, after.gaps),
        (before.gap_seconds, after.gap_seconds),
    )
    return any((_moved(*pair) or 0) < 0 for pair in pairs)
