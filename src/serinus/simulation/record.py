"""What a judge said of one engine over a whole schedule, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Record", "Turn"]


class Turn(NamedTuple):
    """From `at` on, in seconds of the schedule, it was so; `why` in a few words."""

    at: float
    good: bool
    why: str = ""


@dataclass(slots=True)
class Record:
    """Times are seconds of the schedule. Each list begins with what held at its beginning."""

    judge: str
    seconds: float
    ready: list[Turn] = field(default_factory=lambda: [Turn(0.0, good=False, why="began")])
    live: list[Turn] = field(default_factory=lambda: [Turn(0.0, good=True)])
    whole: list[Turn] = field(default_factory=lambda: [Turn(0.0, good=True)])
    """False while it was called degraded."""
    canaries: int = 0
    most_in_flight: int = 0
    history: list[str] | None = None
    """Everything, a line each; None where nobody wants to read it."""

    def turned(self, turns: list[Turn], at: float, *, good: bool, why: str = "") -> None:
        """Take down that something turned, if it did."""
        if turns[-1].good is not good:
            turns.append(Turn(at, good, why))
            if self.history is not None:
                name = {id(self.ready): "ready", id(self.live): "live"}.get(id(turns), "whole")
                word = name if good else f"not {name}"
                self.history.append(f"{at:14.6f} ==> {word}{': ' if why else ''}{why}")

    def tell(self, at: float, line: str) -> None:
        """Add a line to the history, if there is one."""
        if self.history is not None:
            self.history.append(f"{at:14.6f} {line}")

    @staticmethod
    def spells(turns: list[Turn], until: float) -> Iterator[tuple[float, float, str]]:
        """Return from when to when it was not good, and why at first."""
        for number, turn in enumerate(turns):
            if not turn.good:
                end = turns[number + 1].at if number + 1 < len(turns) else until
                yield turn.at, end, turn.why
