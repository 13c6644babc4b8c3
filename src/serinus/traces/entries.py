"""What a trace holds, as values. Times are seconds since its beginning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from serinus.core.evidence import Evidence
from serinus.core.rules import Rules

__all__ = ["Damage", "Entry", "Lost", "Mark", "Ruled", "Seen", "Session", "Trace"]


class Session(NamedTuple):
    """One life of a recorder began at `at`; the wall's clock said `wall` (POSIX seconds) then."""

    at: float
    wall: float
    about: Mapping[str, str]
    """What was recorded, by whom: for people."""


class Seen(NamedTuple):
    """One piece of evidence was folded into the standing of a target."""

    target: str
    evidence: Evidence

    @property
    def at(self) -> float:
        """When the thing was known."""
        return self.evidence.at


class Ruled(NamedTuple):
    """From now on a target is judged by these rules."""

    at: float
    target: str
    rules: Rules


class Mark(NamedTuple):
    """A person or a program said what was going on."""

    at: float
    text: str


class Lost(NamedTuple):
    """So many entries are missing here: the recorder could not keep up."""

    at: float
    entries: int


Entry: TypeAlias = Session | Seen | Ruled | Mark | Lost


class Damage(NamedTuple):
    """Where a file could not be read on, why, and what that costs."""

    file: str
    position: int
    """Of the first byte that could not be read, in the file as it is uncompressed."""
    why: str
    lost: int
    """Bytes from there on that were not read: to the next session, or to the end."""

    def __str__(self) -> str:
        return f"{self.file}: byte {self.position}: {self.why}; {self.lost} byte(s) are not read"


class Trace(NamedTuple):
    """All that could be read, in the order in which it was written."""

    entries: tuple[Entry, ...]
    damages: tuple[Damage, ...] = ()
    skipped: Mapping[str, int] = {}
    """Entries of kinds that this version does not know, counted by what they are called."""
    finished: bool = True
    """Whether the recorder was closed in good order at the end."""

    @property
    def began(self) -> float | None:
        """The wall's time at 0 s, in POSIX seconds; None if nothing was read."""
        first = next((one for one in self.entries if isinstance(one, Session)), None)
        return None if first is None else first.wall - first.at

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The marks."""
        return tuple(one for one in self.entries if isinstance(one, Mark))

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of all targets, each once, by their first appearance."""
        return tuple(dict.fromkeys(one.target for one in self.entries if isinstance(one, Seen)))

    @property
    def until(self) -> float:
        """The time of the last entry."""
        return max((one.at for one in self.entries), default=0.0)
