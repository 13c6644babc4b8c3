"""Whether a frontend itself is ready, and why: the first line that applies. Pure.

| state                                            | stage       | ready                     |
|--------------------------------------------------|-------------|---------------------------|
| told to end                                      | draining    | no                        |
| discovery was never reached                      | starting    | no                        |
| reached, and not everything is listed yet        | discovering | no                        |
| discovery has been away for longer than allowed  | stale       | by policy; required parts |
| otherwise                                        | ready       | if what it requires is    |

A stale view is no reason to be not ready by itself: every frontend would be so at once, while the
workers serve on.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from serinus.core.fleet import Fleet

__all__ = ["ANYTHING", "FrontendHealth", "Knowledge", "Stage", "frontend_health", "missing_of"]

ANYTHING = "*"
"""Required: at least one instance that may serve."""


class Stage(StrEnum):
    """Where a frontend is in its life."""

    STARTING = "starting"
    DISCOVERING = "discovering"
    READY = "ready"
    STALE = "stale"
    DRAINING = "draining"


class Knowledge(NamedTuple):
    """What a frontend's view rests on. `age`: seconds since it no longer follows; None: it does."""

    reached: bool
    complete: bool
    age: float | None
    draining: bool = False


class FrontendHealth(NamedTuple):
    """What a frontend says of itself. `missing` is what it requires and does not have."""

    stage: Stage
    ready: bool
    why: str
    missing: tuple[str, ...] = ()


def frontend_health(
    known: Knowledge,
    missing: tuple[str, ...],
    *,
    stale_after: float,
    stale_is_ready: bool,
) -> FrontendHealth:
    """Judge a frontend.

    >>> frontend_health(
    ...     Knowledge(reached=True, complete=True, age=None), (), stale_after=3, stale_is_ready=True
    ... ).stage
    <Stage.READY: 'ready'>
    """
    if known.draining:
        return FrontendHealth(Stage.DRAINING, ready=False, why="it is ending")
    if not known.complete:
        if not known.reached:
            return FrontendHealth(Stage.STARTING, ready=False, why="discovery was not reached yet")
        return FrontendHealth(Stage.DISCOVERING, ready=False, why="the first listing is not done")
    why = f"required and not ready: {', '.join(missing)}" if missing else ""
    if known.age is not None and known.age >= stale_after:
        ready = stale_is_ready and not missing
        return FrontendHealth(Stage.STALE, ready, why or "discovery is away", missing)
    return FrontendHealth(Stage.READY, not missing, why, missing)


def missing_of(requires: Sequence[str], fleet: Fleet) -> tuple[str, ...]:
    """Return what is required of a fleet and is not there, in the order of what is required."""
    return tuple(one for one in requires if not _has(fleet, one))


def _has(fleet: Fleet, one: str) -> bool:
    if one == ANYTHING:
        return fleet.totals.ready > 0 or any(pool.usable for pool in fleet.pools())
    return fleet.model_ready(one)
