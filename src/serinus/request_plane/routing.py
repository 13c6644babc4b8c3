"""Which of several instances gets the next request. Pure.

Instances are known by their ids. What may not be chosen (not ready, ejected, tried already) is not
among the ids that are given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

__all__ = ["Policy", "choose"]


class Policy(StrEnum):
    """How an instance is chosen."""

    ROUND_ROBIN = "round_robin"
    RANDOM = "random"
    LEAST_LOADED = "least_loaded"


def choose(
    policy: Policy,
    ids: Collection[int],
    *,
    last: int | None,
    draw: float,
    loads: Mapping[int, int],
) -> int | None:
    """Return the id that gets the next request; None if there is none.

    `last` got the one before; `draw` is random, from 0 up to 1; `loads` has the requests in flight.
    Round robin goes by the order of ids and not by a count, so that instances that come and go
    disturb the turn of no other. Among the least loaded it goes round, too.

    >>> choose(Policy.ROUND_ROBIN, [1, 2, 3], last=2, draw=0, loads={})
    3
    >>> choose(Policy.LEAST_LOADED, [1, 2, 3], last=3, draw=0, loads={1: 4, 2: 1, 3: 1})
    2
    """
    if not ids:
        return None
    known = sorted(ids)
    if policy is Policy.RANDOM:
        return known[int(draw * len(known)) % len(known)]
    if policy is Policy.LEAST_LOADED:
        least = min(loads.get(one, 0) for one in known)
        known = [one for one in known if loads.get(one, 0) == least]
    if last is None:
        return known[int(draw * len(known)) % len(known)]  # clients that start together spread out
    return next((one for one in known if one > last), known[0])
