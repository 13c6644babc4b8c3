"""The fold of all instances into the health of the fleet, kept up as they change. Pure.

Instances of one endpoint are a *pool*. An instance is *usable* when requests may be sent to it:

| it says of itself | seen from outside | it is        | usable                          |
|-------------------|-------------------|--------------|---------------------------------|
| notready          |                   | not ready    | no                              |
| ready, or nothing | unreachable       | unreachable  | no; in panic, or by policy, yes |
| ready, or nothing | reachable, or not seen | ready   | yes                             |

*Panic*: when less than the threshold of a pool is ready, those that others call unreachable are
sent requests again. So many at once are more likely the fault of who looks than of who is looked
at, and the few that are left would drown. What an instance says of itself is always believed.

*Shared cause*: when no instance of a pool (of two or more) is ready, and all fail for one reason,
that reason is named for the pool: what they share is likelier than as many faults at once.

Only counts are kept of each pool and of each role in a model, so a change costs the same in a
fleet of any size. The result does not depend on the order of changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from serinus.core.address import EndpointAddress
from serinus.core.instance import Instance
from serinus.core.status import Reason
from serinus.core.topology import Role, RoleCount, Topology, needs_of, topology

__all__ = [
    "UNREACHABLE",
    "Fleet",
    "FleetRules",
    "Pool",
    "PoolState",
    "Standing",
    "Totals",
    "role_of",
]

UNREACHABLE = "unreachable"
"""The reason of an instance that is ready in its own eyes and cannot be reached by others."""

_NO_FAILURE = frozenset(
    {
        "",
        "draining",
        *map(str, (Reason.UNPROVEN, Reason.PORT_CLOSED, Reason.UNRECOGNISED)),
        *map(str, (Reason.NO_MODEL, Reason.FIRST_TOKEN, Reason.SLEEPING)),
    }
)
"""Reasons of instances that are on their way, or put away: nothing that failed."""


class FleetRules(NamedTuple):
    """What the fold goes by. Shares are from 0 to 1 of a pool's instances.

    `minimum`: a smaller share that is ready makes a pool short. `panic`: a smaller one, and nobody
    is left out for what others say. `eject`: whether what is unreachable is left out at all.
    """

    minimum: float = 0.75
    panic: float = 0.5
    eject: bool = True


class PoolState(StrEnum):
    """How a pool is."""

    HEALTHY = "healthy"
    SHORT = "short"
    PANIC = "panic"
    DOWN = "down"


class Standing(StrEnum):
    """How one instance is: what it says, and what is seen from outside."""

    READY = "ready"
    NOTREADY = "notready"
    UNREACHABLE = "unreachable"


class Pool(NamedTuple):
    """The health of one endpoint's instances."""

    address: EndpointAddress
    total: int
    ready: int
    """Ready in their own eyes, and not unreachable."""
    unreachable: int
    usable: int
    state: PoolState
    shared_cause: str
    """Why all of them fail; empty if they do not, or for different reasons."""
    reasons: tuple[tuple[str, int], ...]
    """Why instances are not ready, the commonest first."""

    @property
    def share(self) -> float:
        """The share that is ready."""
        return self.ready / self.total


class Totals(NamedTuple):
    """Over the whole fleet."""

    instances: int
    ready: int
    unreachable: int


class _Count:
    """How many instances there are of something: in all, ready, unreachable."""

    __slots__ = ("ready", "total", "unreachable")

    def __init__(self) -> None:
        self.total = self.ready = self.unreachable = 0

    def add(self, standing: Standing | None, by: int) -> None:
        """Count one in or out; None: it is known and not there."""
        self.total += by
        if standing is Standing.READY:
            self.ready += by
        elif standing is Standing.UNREACHABLE:
            self.unreachable += by


class _Members(_Count):
    """A pool's counts, its reasons, and the one address that all of its entries share."""

    __slots__ = ("address", "reasons")

    def __init__(self, address: EndpointAddress) -> None:
        super().__init__()
        self.address = address
        self.reasons: Counter[str] = Counter()


class _Entry:
    """What is known under one name, and how it was counted. Small: there are many."""

    __slots__ = ("address", "cards", "known", "reason", "role", "standing", "unreachable")

    def __init__(self) -> None:
        self.known = False
        """Whether it is announced; if not, a card or a finding waits for it."""
        self.address: EndpointAddress | None = None
        self.standing = Standing.NOTREADY
        self.reason = ""
        self.role: Role | None = None
        self.cards: dict[str, tuple[str, Role]] | None = None
        """Roles by the key of the card that gives them, each with its namespace."""
        self.unreachable = False

    @property
    def empty(self) -> bool:
        """Whether nothing is known of it any more."""
        return not (self.known or self.cards or self.unreachable)


class Fleet:
    """All that is known of the fleet. Names are the keys that records of one instance share."""

    def __init__(self, rules: FleetRules | None = None) -> None:
        self.rules = rules or FleetRules()
        self.touched: set[EndpointAddress] = set()
        """Pools that changed since somebody emptied this."""
        self.touched_models: set[str] = set()
        """The same of models."""
        self._entries: dict[str, _Entry] = {}
        self._pools: dict[EndpointAddress, _Members] = {}
        self._models: dict[str, dict[tuple[str, EndpointAddress | None, Role], _Count]] = {}
        self._totals = _Count()

    # --- what is told ------------------------------------------------------------------------

    def put(self, name: str, instance: Instance) -> None:
        """Take an instance, new or as it is now."""
        entry = self._out(name)
        entry.known = True
        entry.address = instance.address
        entry.reason = "" if instance.ready else instance.reason
        entry.standing = Standing.READY if instance.ready else Standing.NOTREADY
        entry.role = role_of(instance)
        self._in(name, entry)

    def remove(self, name: str) -> None:
        """Take it that an instance is gone."""
        entry = self._out(name)
        entry.known, entry.role, entry.address, entry.reason = False, None, None, ""
        self._in(name, entry)

    def put_card(self, name: str, key: str, namespace: str, role: Role) -> None:
        """Take a model's card: a role of an instance, which may not be there."""
        entry = self._out(name)
        entry.cards = {**(entry.cards or {}), key: (namespace, role)}
        self._in(name, entry)

    def remove_card(self, name: str, key: str) -> None:
        """Take it that a card is gone."""
        entry = self._out(name)
        entry.cards = {k: v for k, v in (entry.cards or {}).items() if k != key} or None
        self._in(name, entry)

    def see(self, name: str, *, reachable: bool) -> None:
        """Take what was found from outside."""
        entry = self._out(name)
        entry.unreachable = not reachable
        self._in(name, entry)

    # --- what is so --------------------------------------------------------------------------

    @property
    def totals(self) -> Totals:
        """The counts over the whole fleet."""
        return Totals(self._totals.total, self._totals.ready, self._totals.unreachable)

    @property
    def addresses(self) -> list[EndpointAddress]:
        """The endpoints that have instances, sorted."""
        return sorted(self._pools)

    @property
    def models(self) -> list[str]:
        """The models that are known, sorted."""
        return sorted(self._models)

    def standing(self, name: str) -> Standing | None:
        """How an instance is; None if there is none."""
        entry = self._entries.get(name)
        return _standing(entry) if entry is not None and entry.known else None

    def usable(self, name: str) -> bool:
        """Whether requests may be sent to an instance."""
        entry = self._entries.get(name)
        if entry is None or entry.address is None:
            return False
        standing = _standing(entry)
        if standing is Standing.UNREACHABLE:
            return self._readmitted(self._pools[entry.address])
        return standing is Standing.READY

    def pool(self, address: EndpointAddress) -> Pool | None:
        """Return how a pool is; None if it has no instance."""
        members = self._pools.get(address)
        if members is None:
            return None
        usable = members.ready + (members.unreachable if self._readmitted(members) else 0)
        reasons = sorted(members.reasons.items(), key=lambda item: (-item[1], item[0]))
        return Pool(
            address,
            members.total,
            members.ready,
            members.unreachable,
            usable,
            self._state(members, usable),
            _shared_cause(members, reasons),
            tuple(reasons),
        )

    def pools(self) -> Iterator[Pool]:
        """Yield all pools, by address."""
        for address in self.addresses:
            if (pool := self.pool(address)) is not None:
                yield pool

    def model(self, model: str) -> dict[str, Topology]:
        """Return how a model is in each of its namespaces; none if it is unknown."""
        grouped: dict[str, list[RoleCount]] = {}
        for (namespace, address, role), count in self._models.get(model, {}).items():
            members = None if address is None else self._pools.get(address)
            serving = count.ready
            if members is not None and self._readmitted(members):
                serving += count.unreachable
            grouped.setdefault(namespace, []).append(RoleCount(role, count.total, serving))
        return {namespace: topology(grouped[namespace]) for namespace in sorted(grouped)}

    def model_ready(self, model: str) -> bool:
        """Whether a model can be served in one of its namespaces."""
        return any(found.ready for found in self.model(model).values())

    # --- keeping count -----------------------------------------------------------------------

    def _out(self, name: str) -> _Entry:
        entry = self._entries.get(name)
        if entry is None:
            return _Entry()
        self._count(entry, -1)
        return entry

    def _in(self, name: str, entry: _Entry) -> None:
        if entry.empty:
            self._entries.pop(name, None)
        else:
            self._entries[name] = entry
            self._count(entry, +1)

    def _count(self, entry: _Entry, by: int) -> None:
        standing = _standing(entry) if entry.known else None
        if entry.address is not None:
            self._count_in_pool(entry, entry.address, by)
            self._totals.add(standing, by)
        if entry.role is not None and entry.address is not None:
            self._count_in_model(entry.address.namespace, entry.address, entry.role, standing, by)
        for namespace, role in (entry.cards or {}).values():
            self._count_in_model(namespace, entry.address, role, standing, by)

    def _count_in_pool(self, entry: _Entry, address: EndpointAddress, by: int) -> None:
        standing = _standing(entry)
        members = self._pools.get(address)
        if members is None:
            members = self._pools[address] = _Members(address)
        entry.address = members.address
        before = self._readmitted(members)
        members.add(standing, by)
        if before is not self._readmitted(members):
            self._touch_models_of(address)
        if standing is not Standing.READY:
            reason = UNREACHABLE if standing is Standing.UNREACHABLE else entry.reason
            members.reasons[reason] += by
            if not members.reasons[reason]:
                del members.reasons[reason]
        if not members.total:
            del self._pools[address]
        self.touched.add(address)

    def _count_in_model(
        self,
        namespace: str,
        address: EndpointAddress | None,
        role: Role,
        standing: Standing | None,
        by: int,
    ) -> None:
        roles = self._models.setdefault(role.model, {})
        place = (namespace, address, role)
        count = roles.get(place)
        if count is None:
            count = roles[place] = _Count()
        count.add(standing, by)
        if not count.total:
            del roles[place]
            if not roles:
                del self._models[role.model]
        self.touched_models.add(role.model)

    def _touch_models_of(self, address: EndpointAddress) -> None:
        for model, roles in self._models.items():
            if any(place == address for _, place, _ in roles):
                self.touched_models.add(model)

    def _readmitted(self, members: _Count) -> bool:
        """Whether those that are unreachable are sent requests all the same."""
        return not self.rules.eject or members.ready < self.rules.panic * members.total

    def _state(self, members: _Count, usable: int) -> PoolState:
        if not usable:
            return PoolState.DOWN
        if members.ready < self.rules.panic * members.total:
            return PoolState.PANIC
        if members.ready < self.rules.minimum * members.total:
            return PoolState.SHORT
        return PoolState.HEALTHY


def role_of(instance: Instance) -> Role | None:
    """Return the role that an instance gives itself by its facts; None without a model.

    The facts are `model`, `worker_type` and `needs` (alternatives, each a list of types).
    """
    model, kind = instance.facts.get("model"), instance.facts.get("worker_type")
    if not isinstance(model, str) or not model:
        return None
    named = kind if isinstance(kind, str) else ""
    needs = instance.facts.get("needs")
    if not isinstance(needs, list | tuple):
        return Role(model, named, needs_of(named))
    lists = (one for one in needs if one and isinstance(one, list | tuple))
    return Role(model, named, tuple(tuple(map(str, one)) for one in lists))


def _standing(entry: _Entry) -> Standing:
    if entry.unreachable and entry.standing is Standing.READY:
        return Standing.UNREACHABLE
    return entry.standing


def _shared_cause(members: _Members, reasons: list[tuple[str, int]]) -> str:
    if members.ready or members.total < 2 or len(reasons) != 1:
        return ""
    reason = reasons[0][0]
    return "" if reason in _NO_FAILURE else reason
