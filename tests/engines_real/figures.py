"""How soon a fault of a real engine is seen, and its end: figures, and the best of some rounds.

What else runs on the machine can only add to a figure. So a fault is repeated until one round is
within all of them; every round is printed, and every round has to see the fault and its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Figures", "best"]

ROUNDS = 6


class Figures(NamedTuple):
    """How long it took to see a fault and its end, in seconds."""

    not_ready: float
    """From the fault."""
    not_live: float
    """From being not ready; 0: it stayed live."""
    back: float
    """Ready and live again, from the thaw."""

    def within(self, most: Figures) -> bool:
        """Whether none is more."""
        return all(mine <= theirs for mine, theirs in zip(self, most, strict=True))

    def __str__(self) -> str:
        """Say it for people."""
        fell = f", not live {self.not_live:.2f} s later" if self.not_live else ""
        return f"not ready after {self.not_ready:.2f} s{fell}, back after {self.back:.2f} s"


def best(measure: Callable[[], Figures], *, most: Figures) -> None:
    """Measure until a round is within the figures."""
    rounds: list[Figures] = []
    while not rounds or not rounds[-1].within(most):
        assert len(rounds) < ROUNDS, (
            f"{most} is promised, and seen was: {'; '.join(map(str, rounds))}"
        )
        rounds.append(measure())
        print(rounds[-1])
