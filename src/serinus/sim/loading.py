"""What a client sees of an engine that is still loading its model, and for how long."""

from __future__ import annotations

import math
from enum import StrEnum

__all__ = ["LoadShape", "Phase", "phase_at"]


class LoadShape(StrEnum):
    """How an engine behaves while it loads."""

    CLOSED = "closed"  # the port is closed until the model is there: vLLM
    EMPTY = "empty"  # the port is open at once, and the list of models is empty
    STAGED = "staged"  # the port is closed for the first half, the list empty for the second


class Phase(StrEnum):
    """How far it is."""

    CLOSED = "closed"
    EMPTY = "empty"
    READY = "ready"


def phase_at(shape: LoadShape, *, seconds: float, elapsed: float) -> tuple[Phase, float]:
    """Return the phase `elapsed` seconds into a load of `seconds`, and the seconds it still lasts.

    >>> phase_at(LoadShape.STAGED, seconds=10, elapsed=2)
    (<Phase.CLOSED: 'closed'>, 3.0)
    """
    closed_until = {
        LoadShape.CLOSED: seconds,
        LoadShape.EMPTY: 0.0,
        LoadShape.STAGED: seconds / 2,
    }[shape]
    if elapsed < closed_until:
        return Phase.CLOSED, closed_until - elapsed
    if elapsed < seconds:
        return Phase.EMPTY, seconds - elapsed
    return Phase.READY, math.inf
