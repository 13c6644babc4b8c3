"""Which instances are left out for a while because requests to them fail. Pure.

Only what a client sees itself counts, and only faults that are the instance's: never a wrong
request, nor an instance that says that it is full or draining. So many failures in a row eject it,
for a time that doubles with each ejection and halves again with every quiet spell. When the time is
over it is on probation: one more failure ejects it again, one success forgives all failures.

Ejection must not make things worse. At most a share of all is left out, those ejected last first.
And when so many fail that too few would be left, it is not the instances (or nothing can be done
about it): that is *panic*, and all are used as if none was ejected.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from serinus.request_plane.faults import Fault

__all__ = ["EjectionRules", "Ejections", "Split"]


class EjectionRules(NamedTuple):
    """Spans are seconds, shares are of all instances that are ready."""

    failures: int = 3
    """In a row, until an instance is ejected."""
    first: float = 1.0
    longest: float = 60.0
    quiet: float = 30.0
    """After so long without an ejection the next one is half as long."""
    share: float = 0.5
    """The most that are left out."""
    panic: float = 0.5
    """Fewer than this share left, and all are used."""


class Split(NamedTuple):
    """Who may be chosen, who is left out, and whether it is panic."""

    usable: tuple[int, ...]
    ejected: tuple[int, ...] = ()
    panic: bool = False


class _Mark(NamedTuple):
    failures: int = 0
    level: int = 0
    """How often the time has doubled."""
    until: float = float("-inf")


_CLEAN = _Mark()


class Ejections(NamedTuple):
    """What is remembered of all instances; times are of one clock, in seconds."""

    rules: EjectionRules = EjectionRules()
    marks: Mapping[int, _Mark] = MappingProxyType({})

    def after(self, one: int, fault: Fault | None, at: float) -> Ejections:
        """Take in how a request to an instance went; None is well."""
        if fault is not None and not fault.held_against:
            return self
        mark = self.marks.get(one, _CLEAN)
        if fault is None:
            mark = mark._replace(failures=0, until=min(mark.until, at))
            if mark == _CLEAN:
                return self._with(one, None)
            return self._with(one, mark)
        if at < mark.until:
            return self  # it is ejected for as long as it is: these began before
        failures = mark.failures + 1
        if failures < self.rules.failures:
            return self._with(one, mark._replace(failures=failures))
        level = self._level(mark, at)
        span = min(self.rules.first * 2.0**level, self.rules.longest)
        return self._with(one, _Mark(self.rules.failures - 1, level + 1, at + span))

    def without(self, one: int) -> Ejections:
        """Forget an instance that is gone."""
        return self._with(one, None)

    def split(self, ids: Collection[int], at: float) -> Split:
        """Say which of these instances may be chosen now."""
        known = sorted(ids)
        failing = [one for one in known if at < self.marks.get(one, _CLEAN).until]
        if not failing:
            return Split(tuple(known))
        if len(known) - len(failing) < self.rules.panic * len(known):
            return Split(tuple(known), panic=True)
        failing.sort(key=lambda one: (-self.marks[one].until, one))
        out = set(failing[: int(self.rules.share * len(known))])
        return Split(
            tuple(one for one in known if one not in out),
            tuple(one for one in known if one in out),
        )

    def _level(self, mark: _Mark, at: float) -> int:
        """Return how often the next span is doubled: less, the longer it has been quiet."""
        if not mark.level:
            return 0
        quiet = int((at - mark.until) // self.rules.quiet)
        highest = 0
        while self.rules.first * 2.0**highest < self.rules.longest and highest < mark.level:
            highest += 1
        return max(highest - quiet, 0)

    def _with(self, one: int, mark: _Mark | None) -> Ejections:
        marks = {known: its for known, its in self.marks.items() if known != one}
        if mark is not None:
            marks[one] = mark
        elif len(marks) == len(self.marks):
            return self
        return self._replace(marks=MappingProxyType(marks))
