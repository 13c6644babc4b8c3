"""The restart governor: which of several instances may be not live now. Pure.

Liveness that fails has its process restarted, and what makes one replica fail may well make all of
them fail. So among the replicas of a component failures are admitted in turn:

1. Alone in its component, an instance is admitted at once: there is nobody to be careful for. It is
   not alone while another one left less than a lease ago: a record that moves between the list and
   the withdrawn is in neither for a moment. Then it needs a slot, as ever.
2. While all instances wish to be not live for the same reason, it is a *shared cause* (a network,
   a store, a bad model) that restarts would not mend: none is admitted, for `limit` seconds at the
   most after the wish.
3. There are as many *slots* as the budget has: so many instances, or a share of all, at least one.
   A slot is a key in discovery that only one can hold; whoever holds one is admitted. Of those that
   wait, the first by id goes for the first free slot, the second for the second, and so on, so that
   they do not all try the same one.
4. A slot is free again when its holder's process has died (by its lease), when the holder is well
   again, or when it has held it for `limit` seconds.
5. Without word from discovery for `limit` seconds an instance that wishes is admitted: nothing is
   kept alive for ever because a server is away.

An instance that was admitted stays so until it is well. So an instance waits at the longest for
`limit`, and then for one turn of `limit` for every `slots` instances that were before it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Decision", "Step", "Surroundings", "decide", "slots_of"]


class Step(StrEnum):
    """What an instance that wishes to be not live may do."""

    GO = "go"
    """Be not live."""
    CLAIM = "claim"
    """Try to hold a slot, and be live until it does."""
    WAIT = "wait"
    """Be live, and look again when something has changed."""


class Decision(NamedTuple):
    """The step, the slot if one is to be held, and why."""

    step: Step
    why: str
    slot: int | None = None


class Surroundings(NamedTuple):
    """What is known of the component, by the ids of its instances."""

    instances: Collection[int]
    """All, this one among them, ready or not."""
    wishes: Mapping[int, str]
    """Those that wish to be not live, admitted or not, and the check that each fails."""
    holders: Mapping[int, int]
    """The slots that are held, and by whom."""
    admitted: Collection[int] = ()
    """Those that wish and were admitted: they wait for nothing, though their turn may be over."""
    left: Collection[int] = ()
    """Those that are not among the instances, and were less than a lease ago."""
    blind_for: float | None = None
    """Seconds since discovery was heard of; None while it is."""


def slots_of(budget: str, instances: int) -> int:
    """Return how many instances may be not live at once; at least one.

    >>> slots_of("25%", 8), slots_of("25%", 3), slots_of("3", 2)
    (2, 1, 3)
    """
    if budget.endswith("%"):
        return max(instances * int(budget[:-1]) // 100, 1)
    return max(int(budget), 1)


def decide(
    me: int, check: str, known: Surroundings, *, budget: str, waited: float, limit: float
) -> Decision:
    """Say what an instance may do that has wished to be not live for `waited` seconds."""
    if known.blind_for is not None:
        if known.blind_for >= limit:
            why = f"discovery has been away for {known.blind_for:.0f} s, and nobody can be asked"
            return Decision(Step.GO, why)
        return Decision(Step.WAIT, "discovery is away: it is not known how the others are")
    everyone = set(known.instances) | {me}
    if everyone >= set(known.left) and len(everyone) == 1:
        return Decision(Step.GO, "it is the only instance")
    slots = slots_of(budget, len(everyone))
    held = {slot: by for slot, by in known.holders.items() if slot < slots}
    mine = next((slot for slot, by in held.items() if by == me), None)
    if mine is not None:
        return Decision(Step.GO, f"its turn: {len(held)} of {slots} at once", mine)
    wishes = {one: its for one, its in known.wishes.items() if one in everyone} | {me: check}
    shared = len(wishes) == len(everyone) > 1 and len(set(wishes.values())) == 1
    if shared and waited < limit:
        why = f"all {len(everyone)} instances fail the same check ({check}): a shared cause"
        return Decision(Step.WAIT, why)
    free = [slot for slot in range(slots) if slot not in held]
    waiting = sorted(wishes.keys() - set(held.values()) - (set(known.admitted) - {me}))
    place = waiting.index(me)
    if place < len(free):
        return Decision(Step.CLAIM, f"it goes for turn {free[place] + 1} of {slots}", free[place])
    ahead = place - len(free)
    why = f"{len(held)} of {slots} instances are not live already, {ahead} wait before it"
    return Decision(Step.WAIT, why)
