"""A group on the board: who belongs to it, and how it was last told of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from serinus.core.address import EndpointAddress
from serinus.core.evidence import Registered
from serinus.core.group import Group, GroupHealth, Kind, Member
from serinus.core.rules import Rules
from serinus.core.system_health import EndpointHealth, Judged
from serinus.core.verdict import Standing
from serinus.errors import LifecycleError, SettingsError

__all__ = ["Fold", "Gathering", "folded", "rank_address"]


_AFTER_START = 0.5
"""In waits: all ranks are proven at the start, and the first turn is no hair's breadth after it."""


class Place(NamedTuple):
    """One member's place: its name for people, its role, its number, and since when it has it."""

    name: str
    role: str
    rank: int | None
    joined: float


class Gathering:
    """A group and its members, by their addresses; they may be on the board, or not yet."""

    __slots__ = ("began", "group", "places", "told")

    def __init__(self, group: Group, *, began: float) -> None:
        self.group = group
        self.began = began
        """When the first of its ranks' turns began."""
        self.places: dict[EndpointAddress, Place] = {}
        self.told = ""
        """How it stood when it was last told of."""

    def join(
        self,
        address: EndpointAddress,
        *,
        at: float,
        name: str = "",
        role: str = "",
        rank: int | None = None,
    ) -> None:
        """Take in a member.

        Raises SettingsError for a role that the group does not have, LifecycleError for an address
        or a name that is taken.
        """
        if role not in self.group.roles:
            accepted = ", ".join(filter(None, self.group.roles)) or "none"
            raise SettingsError(
                f"group {self.group.address}: role {role!r} of {address} is not accepted for a "
                f"{self.group.kind} group; accepted: {accepted}"
            )
        name = name or (f"rank {rank}" if rank is not None else role or address.endpoint)
        if address in self.places:
            raise LifecycleError(f"group {self.group.address}: {address} is a member already")
        if any(place.name == name for place in self.places.values()):
            name = str(address)
        self.places[address] = Place(name, role, rank, at)

    def leave(self, address: EndpointAddress) -> None:
        """Let a member go; twice is once."""
        self.places.pop(address, None)

    def health(self, known: Mapping[EndpointAddress, EndpointHealth]) -> GroupHealth:
        """Return what the fold sees of it. A member that is not on the board is unproven."""
        return GroupHealth(
            self.group,
            tuple(
                Member(
                    place.name,
                    known[address] if address in known else _absent(address, place.joined),
                    place.role,
                    place.rank,
                )
                for address, place in sorted(self.places.items(), key=_in_order)
            ),
        )

    def rules(self, address: EndpointAddress, rules: Rules, *, turns: bool) -> Rules:
        """Return the rules of a member: ranks of one engine share its canaries' cost.

        `turns`: they take turns; if not, each is asked as if it were alone.
        """
        ranks = sorted(p.rank for p in self.places.values() if p.rank is not None)
        rank = self.places[address].rank
        if rank is None or len(ranks) < 2:
            return rules
        shared = rules._replace(
            budget=_share(rules.budget, len(ranks)),
            token_budget=_share(rules.token_budget, len(ranks)),
        )
        if not turns:
            return shared
        turn = self.began + (ranks.index(rank) + _AFTER_START) * rules.wait
        return shared._replace(ranks=len(ranks), turn=turn)

    @property
    def spreads(self) -> bool:
        """Whether what is wrong with one member may be wrong with the others."""
        return self.group.kind is not Kind.PREFILL_DECODE


class Fold(NamedTuple):
    """All endpoints as readiness sees them: those that stand alone, groups, and their members."""

    judged: tuple[Judged, ...]
    groups: tuple[GroupHealth, ...] = ()
    members: tuple[EndpointHealth, ...] = ()

    @property
    def endpoints(self) -> tuple[EndpointHealth, ...]:
        """Every endpoint that has a verdict of its own, by address."""
        alone = [one for one in self.judged if isinstance(one, EndpointHealth)]
        return tuple(sorted((*alone, *self.members), key=lambda one: one.address))


def folded(endpoints: Iterable[EndpointHealth], gatherings: Iterable[Gathering]) -> Fold:
    """Fold endpoints into the groups that they belong to.

    An endpoint that has the address of a group is its front: the group speaks for it.
    """
    known = {endpoint.address: endpoint for endpoint in endpoints}
    groups = tuple(gathering.health(known) for gathering in gatherings if gathering.places)
    if not groups:
        return Fold(tuple(known.values()))
    inside = {member.health.address for group in groups for member in group.members}
    fronts = {group.address for group in groups}
    alone = [one for one in known.values() if one.address not in inside | fronts]
    judged: list[Judged] = [*alone, *groups]
    return Fold(
        tuple(sorted(judged, key=lambda one: one.address)),
        groups,
        tuple(member.health for group in groups for member in group.members),
    )


def rank_address(of: EndpointAddress, rank: int) -> EndpointAddress:
    """Return the address of a rank of the endpoint `of`.

    >>> str(rank_address(EndpointAddress.parse("serinus.vllm.generate"), 2))
    'serinus.vllm.generate-rank-2'
    """
    return of._replace(endpoint=f"{of.endpoint}-rank-{rank}")


def _in_order(item: tuple[EndpointAddress, Place]) -> tuple[int, EndpointAddress]:
    address, place = item
    return (-1 if place.rank is None else place.rank, address)


def _absent(address: EndpointAddress, since: float) -> EndpointHealth:
    return EndpointHealth(
        address, Standing.of(Registered(since, canary=True)), Rules(), payload=True
    )


def _share(budget: int, among: int) -> int:
    return max(budget // among, 1) if budget else 0
