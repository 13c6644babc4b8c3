"""Groups: members that serve together, and what each of their verdicts comes to for the whole.

A member is judged as any endpoint is, by a `Standing` of its own; nothing is judged here. Members
are folded by role: a group is ready when in every role as many are ready as its policy asks for.

| kind            | members are                                  | one member that hangs        |
|-----------------|----------------------------------------------|------------------------------|
| data-parallel   | ranks, each of which can serve alone         | the policy decides           |
| sharded         | parts of one model (tensor, pipeline): every | takes the group: all or none |
|                 | request needs all of them                    |                              |
| prefill-decode  | the two sides of one service, one role each  | its side, by the policy      |

The policy of whoever says nothing is `all`: those who balance requests inside a group do not know
which of its members hangs, and a rank that takes and never answers looks idle, and so draws work.

Liveness falls when the policy cannot be met again without a restart: as many members as it needs
are dead, or hang for longer than their budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from serinus.core.address import EndpointAddress
from serinus.core.policy import ALL, Policy
from serinus.core.status import HealthStatus, LiveReason, Reason
from serinus.core.system_health import EndpointHealth
from serinus.errors import SettingsError, excerpt

__all__ = ["DECODE", "PREFILL", "Group", "GroupHealth", "Kind", "Member", "Side"]

PREFILL, DECODE = "prefill", "decode"
_PARTIAL = "members_not_ready"


class Kind(StrEnum):
    """What the members of a group are to each other."""

    DATA_PARALLEL = "data-parallel"
    SHARDED = "sharded"
    PREFILL_DECODE = "prefill-decode"


class Member(NamedTuple):
    """One member: what people call it, and its role where members have roles."""

    name: str
    health: EndpointHealth
    role: str = ""
    rank: int | None = None
    """Its number, where members are numbered."""


class Side(NamedTuple):
    """The members of one role, and how many of them the policy needs."""

    role: str
    members: tuple[Member, ...]
    needed: int
    called: str
    """What its members are, in the plural."""

    @property
    def ready(self) -> int:
        """How many are."""
        return sum(member.health.ready for member in self.members)

    @property
    def met(self) -> bool:
        """Whether those are enough."""
        return self.ready >= self.needed

    @property
    def missing(self) -> tuple[Member, ...]:
        """Those that are not ready, the longest first."""
        away = (member for member in self.members if not member.health.ready)
        return tuple(sorted(away, key=lambda member: member.health.standing.verdict.since))

    def __str__(self) -> str:
        return f"{self.ready} of {len(self.members)} {self.called} ready"


class Group(NamedTuple):
    """What was declared, or discovered, of a group: `roles` are those that it needs members of."""

    address: EndpointAddress
    kind: Kind = Kind.DATA_PARALLEL
    policy: Policy = ALL
    roles: tuple[str, ...] = ("",)

    @classmethod
    def of(cls, address: EndpointAddress, kind: str | Kind, policy: str | Policy = ALL) -> Group:
        """Declare a group. Raises SettingsError for words that are not known or do not go together.

        >>> here = EndpointAddress.parse("a.b.generate")
        >>> Group.of(here, "sharded", "any")
        Traceback (most recent call last):
        serinus.errors.SettingsError: group a.b.generate: policy 'any' is not accepted for a \
sharded group, which cannot serve without all of its members; accepted: all
        """
        try:
            known = Kind(kind)
        except ValueError:
            raise SettingsError(
                f"group {address}: kind {excerpt(kind, limit=40)!r} is not accepted; "
                f"accepted: {', '.join(Kind)}"
            ) from None
        rule = policy if isinstance(policy, Policy) else Policy.parse(policy)
        if known is Kind.SHARDED and rule != ALL:
            raise SettingsError(
                f"group {address}: policy '{rule}' is not accepted for a sharded group, which "
                "cannot serve without all of its members; accepted: all"
            )
        roles = (PREFILL, DECODE) if known is Kind.PREFILL_DECODE else ("",)
        return cls(address, known, rule, roles)


class GroupHealth(NamedTuple):
    """A group at one moment: it is read as an `EndpointHealth` is."""

    group: Group
    members: tuple[Member, ...] = ()

    @property
    def address(self) -> EndpointAddress:
        """The address that it goes by."""
        return self.group.address

    @property
    def payload(self) -> bool:
        """Whether it decides readiness as an endpoint with a payload: any member does."""
        return any(member.health.payload for member in self.members)

    @property
    def sides(self) -> tuple[Side, ...]:
        """The members by role; a role without members cannot be met."""
        return tuple(self._side(role) for role in self.group.roles)

    @property
    def ready(self) -> bool:
        """Whether every role is met."""
        return all(side.met for side in self.sides)

    @property
    def status(self) -> HealthStatus:
        """The status that the world is shown."""
        return HealthStatus.READY if self.ready else HealthStatus.NOTREADY

    @property
    def lacking(self) -> tuple[str, ...]:
        """The roles that are not met."""
        return tuple(side.role for side in self.sides if not side.met)

    @property
    def missing(self) -> tuple[Member, ...]:
        """The members that are not ready, of roles that are not met first; the longest first."""
        sides = sorted(self.sides, key=lambda side: side.met)
        return tuple(member for side in sides for member in side.missing)

    @property
    def reason(self) -> Reason:
        """The reason of the member that decided: the one that is missing longest, else the first.

        A group without members is unproven.
        """
        if self.ready:
            ready = (member.health for member in self.members if member.health.ready)
            return next((health.reason for health in ready), Reason.DECLARED)
        away = [member for side in self.sides if not side.met for member in side.missing]
        return away[0].health.reason if away else Reason.UNPROVEN

    @property
    def since(self) -> float | None:
        """When the group came to be as it is, as far as its members show; None without any.

        Not ready: when the member turned with which too few were left. Ready: when the last one
        came that was needed.
        """
        known = [side for side in self.sides if side.members]
        if self.ready:
            return max(map(_met_since, known), default=None)
        return min((_unmet_since(side) for side in known if not side.met), default=None)

    @property
    def degraded(self) -> tuple[str, ...]:
        """What is off while the group serves: members missing, and what is off of each."""
        words = {word for member in self.members for word in member.health.degraded}
        return tuple(sorted(words | ({_PARTIAL} if self.ready and self.missing else set())))

    @property
    def impaired(self) -> bool:
        """Whether it serves, but not as it should."""
        return self.ready and bool(self.degraded)

    @property
    def flaws(self) -> tuple[str, ...]:
        """In the order of `degraded`: what each word comes to, for people."""
        told = {
            word: f"{member.name}: {flaw}"
            for member in self.members
            for word, flaw in zip(member.health.degraded, member.health.flaws, strict=False)
        }
        return tuple(told.get(word, self.why()) for word in self.degraded)

    def why(self, now: float | None = None) -> str:
        """Say how many are ready, and what of those that are not; with `now`, since when.

        As in `3 of 4 ranks ready; rank 2: canary_timeout for 12.0 s`.
        """
        missing = self.missing
        away = [f"{one.name}: {one.health.reason}{_age(one, now)}" for one in missing[:_MOST]]
        if len(missing) > _MOST:
            away.append(f"{len(missing) - _MOST} more")
        bare = (f"no {side.role or 'member'} is known" for side in self.sides if not side.members)
        return "; ".join((", ".join(str(one) for one in self.sides if one.members), *bare, *away))

    @property
    def obstacle(self) -> str:
        """What of it stands in the way, where it is not ready."""
        return f"{self.address}: {self.why()}"

    def falls(self, now: float, *, hangs: bool = True) -> tuple[LiveReason, str] | None:
        """Say why the group cannot be ready again without a restart; None while it can."""
        for side in self.sides:
            dead = [one for one in side.members if one.health.standing.died is not None]
            hung = [one for one in side.members if hangs and one not in dead and _hangs(one, now)]
            enough = len(side.members) - len(dead) - len(hung) >= side.needed
            if enough or not (dead or hung):
                continue
            fallen = (dead or hung)[0].health.falls(now, hangs=hangs)
            if fallen is not None:
                lost = f"{len(dead) + len(hung)} of {len(side.members)} {side.called}"
                return fallen[0], f"{self.address}: {lost} cannot serve; {fallen[1]}"
        return None

    def falls_at(self) -> float | None:
        """When time alone will have lost too many members; None when only evidence can."""
        times = [at for side in self.sides if (at := _side_falls_at(side)) is not None]
        return min(times, default=None)

    def _side(self, role: str) -> Side:
        members = tuple(member for member in self.members if member.role == role)
        called = "ranks" if members and members[0].rank is not None else role or "members"
        return Side(role, members, self.group.policy.needed(max(len(members), 1)), called)


_MOST = 4
"""Members that are told of in a line."""


def _met_since(side: Side) -> float:
    return sorted(_turned(side, ready=True))[side.needed - 1]


def _unmet_since(side: Side) -> float:
    """When one too few were left; of a side that never had enough, when its last member turned."""
    away = sorted(_turned(side, ready=False))
    spare = len(side.members) - side.needed
    return (
        away[spare]
        if spare >= 0
        else max(one.health.standing.verdict.since for one in side.members)
    )


def _turned(side: Side, *, ready: bool) -> list[float]:
    """When those members turned that are ready now, or are not."""
    return [one.health.standing.verdict.since for one in side.members if one.health.ready is ready]


def _age(member: Member, now: float | None) -> str:
    if now is None:
        return ""
    return f" for {max(now - member.health.standing.verdict.since, 0.0):.1f} s"


def _hangs(member: Member, now: float) -> bool:
    at = member.health.falls_at()
    return at is not None and now >= at


def _side_falls_at(side: Side) -> float | None:
    """When so many of a side have died, or hung for their budget, that the rest are too few."""
    times = sorted(_losses(side.members))
    spare = max(len(side.members) - side.needed, 0)
    return times[spare] if len(times) > spare else None


def _losses(members: Iterable[Member]) -> Iterator[float]:
    for member in members:
        standing = member.health.standing
        if standing.died is not None:
            yield float("-inf")
        elif (at := member.health.falls_at()) is not None:
            yield at
