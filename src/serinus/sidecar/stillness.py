"""Which ranks stand still while others move: what counters can say where no rank can be asked.

Pure. It accuses a rank that has work, has not moved for the budget, and was outrun meanwhile. Of an
idle rank it says nothing: nobody knows whether it would answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from serinus.engines import Counters

__all__ = ["Stillness"]


class Stillness:
    """Follows the counters of an engine's ranks. `budget` is in seconds."""

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self._last: dict[int, tuple[float | None, ...]] = {}
        self._since: dict[int, float] = {}
        self._moved: dict[int, float] = {}

    def after(self, told: Mapping[int, Counters], *, at: float) -> dict[int, float | None]:
        """Return, for each rank, for how long it has stood still; None where that is nothing."""
        for rank, counters in told.items():
            made = (counters.tokens, counters.steps, counters.finished)
            if made != self._last.get(rank):
                self._last[rank] = made
                self._moved[rank] = self._since[rank] = at
            elif not counters.pending:
                self._since[rank] = at
        return {rank: self._stands(rank, at) for rank in told}

    def _stands(self, rank: int, at: float) -> float | None:
        since = self._since[rank]
        outrun = any(moved > since for other, moved in self._moved.items() if other != rank)
        return at - since if outrun and at - since >= self.budget else None
