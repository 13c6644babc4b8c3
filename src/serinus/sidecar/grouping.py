"""Which engines serve together: what `--group` says, read and checked against the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from serinus.core.address import EndpointAddress
from serinus.core.group import DECODE, PREFILL, Group, Kind
from serinus.core.policy import ALL
from serinus.errors import SettingsError, excerpt
from serinus.sidecar.targets import Target, address_named

__all__ = ["Declared", "Place", "prepared", "read_groups"]

_KINDS = (Kind.DATA_PARALLEL, Kind.SHARDED)
_ACCEPTED = (
    "accepted: NAME=TARGET,TARGET for engines of which each can serve alone, NAME:sharded=… for "
    "those that only serve together, NAME=TARGET:prefill,TARGET:decode for a pair"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A member: the address of its target, its name, and its role in a pair."""

    address: EndpointAddress
    name: str
    role: str = ""


@dataclass(frozen=True, slots=True)
class Declared:
    """A group as it was written."""

    group: Group
    members: tuple[Place, ...]


def read_groups(
    texts: Sequence[str], targets: Sequence[Target], *, policy: str
) -> tuple[Declared, ...]:
    """Read what `--group` says; it can be given several times.

    `policy` is that of every group but a sharded one. Raises SettingsError for what cannot be
    read, a target that is not there or in two groups, and a pair without both of its sides.
    """
    groups = tuple(_read(text, targets, policy) for text in texts)
    taken = {target.address for target in targets}
    members: set[EndpointAddress] = set()
    for declared in groups:
        address = declared.group.address
        if address in taken:
            raise SettingsError(f"--group: {address} is taken; accepted: a name of its own")
        taken.add(address)
        for place in declared.members:
            if place.address in members:
                raise SettingsError(f"--group: {place.name} is in two groups; accepted: in one")
            members.add(place.address)
    return groups


def prepared(targets: Sequence[Target], groups: Sequence[Declared]) -> tuple[Target, ...]:
    """Return the targets, those of a pair asked in the way that needs no other side."""
    roles = {place.address for one in groups for place in one.members if place.role}
    paired = (replace(target, paired=target.address in roles) for target in targets)
    return tuple(replace(target, engine=target.asked_as(target.engine)) for target in paired)


def _read(text: str, targets: Sequence[Target], policy: str) -> Declared:
    head, equals, tail = text.partition("=")
    name, _, kind = (part.strip() for part in head.partition(":"))
    if not equals or not name or not tail.strip() or kind not in {"", *_KINDS}:
        raise SettingsError(f"--group: {excerpt(text, limit=80)!r} is not accepted; {_ACCEPTED}")
    members = tuple(_member(one.strip(), targets) for one in tail.split(","))
    roles = {member.role for member in members} - {""}
    if roles and (kind or any(not member.role for member in members)):
        raise SettingsError(
            f"--group {name}: members with a role and without, or a kind beside roles; {_ACCEPTED}"
        )
    if roles and roles != {PREFILL, DECODE}:
        (missing,) = {PREFILL, DECODE} - roles
        raise SettingsError(f"--group {name}: no member has the role {missing}; {_ACCEPTED}")
    found = Kind.PREFILL_DECODE if roles else Kind(kind or Kind.DATA_PARALLEL)
    rule = str(ALL) if found is Kind.SHARDED else policy
    namespace = members[0].address.namespace
    address = address_named(name, called="--group", namespace=namespace)
    return Declared(Group.of(address, found, rule), members)


def _member(text: str, targets: Sequence[Target]) -> Place:
    name, _, role = (part.strip() for part in text.partition(":"))
    if role not in {"", PREFILL, DECODE}:
        raise SettingsError(
            f"--group: the role {excerpt(role, limit=40)!r} of {name} is not accepted; "
            f"accepted: {PREFILL} or {DECODE}"
        )
    for target in targets:
        if name in {target.address.component, str(target.address)}:
            return Place(target.address, name, role)
    known = ", ".join(target.address.component for target in targets)
    raise SettingsError(
        f"--group: no target is called {excerpt(name, limit=40)!r}; accepted: {known}"
    )
