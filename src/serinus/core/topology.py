"""Whether the workers of a model can serve it together: which types there are, and what they need.

The rule is the reference's, as its `/v1/models/{model}/ready` reports it, over workers that may be
sent requests instead of all that are registered. In one namespace a model is ready when

1. at least one of its workers may serve;
2. every type that is registered has one that may: it is there for a reason;
3. what each type that serves needs is there: one of its alternatives, all of it.

A worker that names no type may be any, so beside one the types decide nothing: one that may serve
is enough. A model is ready when it is in one namespace; namespaces do not help each other out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

__all__ = ["Needs", "Role", "RoleCount", "Topology", "needs_of", "topology"]

Needs: TypeAlias = tuple[tuple[str, ...], ...]
"""Alternatives, each with all the types that it takes; none: nothing is needed."""

_NEEDS: Mapping[str, Needs] = {
    "prefill": (("decode",),),
    "decode": (("prefill",),),
    "encode": (("aggregated",), ("decode", "prefill")),
}
"""What a type needs where its worker does not say."""


class Role(NamedTuple):
    """What a worker does for a model. `worker_type` is empty if it does not say."""

    model: str
    worker_type: str = ""
    needs: Needs = ()


class RoleCount(NamedTuple):
    """How many workers have a role in one namespace, and how many of them may serve."""

    role: Role
    registered: int
    serving: int


class Topology(NamedTuple):
    """One model in one namespace. The tuples are sorted."""

    ready: bool
    reason: str
    """Why it is not ready; empty if it is."""
    counts: Mapping[str, tuple[int, int, Needs]]
    """By type: how many may serve, how many are registered, and what the type needs."""
    present: tuple[str, ...]
    missing: tuple[str, ...]


def needs_of(worker_type: str) -> Needs:
    """Return what a type needs where its worker does not say.

    >>> needs_of("prefill"), needs_of("aggregated")
    ((('decode',),), ())
    """
    return _NEEDS.get(worker_type, ())


def topology(counts: Iterable[RoleCount]) -> Topology:
    """Judge one model in one namespace.

    >>> found = topology([RoleCount(Role("m", "decode", (("prefill",),)), 2, 2)])
    >>> found.ready, found.reason, found.missing
    (False, 'missing worker types: prefill', ('prefill',))
    """
    known: dict[str, tuple[int, int, Needs]] = {}
    serving = untyped = 0
    wanted: list[Needs] = []
    for role, registered, fit in counts:
        serving += fit
        if not role.worker_type:
            untyped += registered
            continue
        before = known.get(role.worker_type, (0, 0, role.needs))
        known[role.worker_type] = (before[0] + fit, before[1] + registered, before[2])
        if fit and role.needs:
            wanted.append(role.needs)
    present = {name for name, (fit, _, _) in known.items() if fit}
    missing: set[str] = set()
    if not untyped:
        missing = known.keys() - present
        for needs in wanted:
            if not any(present.issuperset(alternative) for alternative in needs):
                missing.update(*(set(alternative) - present for alternative in needs))
    return Topology(
        ready=serving > 0 and not missing,
        reason=_reason(serving, missing),
        counts=dict(sorted(known.items())),
        present=tuple(sorted(present)),
        missing=tuple(sorted(missing)),
    )


def _reason(serving: int, missing: set[str]) -> str:
    if missing:
        return f"missing worker types: {', '.join(sorted(missing))}"
    return "" if serving else "no worker may serve"
