"""The groups on the board: their members and their turns, and what the fall of one asks for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from serinus.core.address import EndpointAddress
from serinus.core.deadlines import tuned
from serinus.core.evidence import CanaryFailed, Evidence, SiblingFailed
from serinus.core.group import Group
from serinus.core.history import History, Transition
from serinus.core.rules import Rules
from serinus.core.status import HealthStatus, Reason
from serinus.core.system_health import EndpointHealth
from serinus.errors import LifecycleError
from serinus.runtime.gathering import Fold, Gathering, folded
from serinus.runtime.target import HealthCheckTarget

if TYPE_CHECKING:
    from serinus.runtime.board import Watched

__all__ = ["Groups"]

logger = logging.getLogger("serinus")


class Endpoints(Protocol):
    """What groups need of the board."""

    clock: Callable[[], float]
    history: History
    changed: Callable[[], None]

    @property
    def endpoints(self) -> Mapping[EndpointAddress, Watched]:
        """Every endpoint that is watched."""

    def tell(self, target: HealthCheckTarget, *evidence: Evidence) -> None:
        """Bring evidence."""


class Groups:
    """Every group of this process. `rules` are those of an endpoint that stands alone.

    `rotate`: ranks take turns, so that all of them cost what one would.
    """

    def __init__(self, board: Endpoints, rules: Rules, *, rotate: bool) -> None:
        self._board = board
        self._rules = rules
        self._rotate = rotate
        self._known: dict[EndpointAddress, Gathering] = {}

    def __iter__(self) -> Iterator[Gathering]:
        return iter(tuple(self._known.values()))

    def gather(self, group: Group) -> Gathering:
        """Put a group on the board. Raises LifecycleError if its address is that of another."""
        if group.address in self._known:
            raise LifecycleError(f"group {group.address} exists already")
        gathering = self._known[group.address] = Gathering(group, began=self._board.clock())
        return gathering

    def disband(self, gathering: Gathering) -> None:
        """Take a group off the board; its members stay, and stand alone. Twice is once."""
        if self._known.get(gathering.group.address) is gathering:
            del self._known[gathering.group.address]
            self._turns_anew(gathering)

    def join(
        self,
        gathering: Gathering,
        address: EndpointAddress,
        *,
        name: str = "",
        role: str = "",
        rank: int | None = None,
    ) -> None:
        """Make an endpoint a member of a group, whether it is on the board yet or not.

        Raises SettingsError for a role that the group does not have, LifecycleError for an address
        that is a member already.
        """
        other = self.of(address)
        if other is not None:
            raise LifecycleError(f"{address} is a member of group {other.group.address} already")
        gathering.join(address, at=self._board.clock(), name=name, role=role, rank=rank)
        self._turns_anew(gathering)

    def leave(self, gathering: Gathering, address: EndpointAddress) -> None:
        """Take an endpoint out of a group."""
        gathering.leave(address)
        self._turns_anew(gathering, address)

    def of(self, address: EndpointAddress) -> Gathering | None:
        """Return the group that an endpoint belongs to."""
        return next((one for one in self._known.values() if address in one.places), None)

    def scopes(self, address: EndpointAddress) -> tuple[str, ...]:
        """Return the addresses by which a lease may cover an endpoint: its own, its group's."""
        gathering = self.of(address)
        return (
            (str(address),) if gathering is None else (str(address), str(gathering.group.address))
        )

    def speaks_for(self, name: str) -> bool:
        """Whether an endpoint is but the front of a group: its own verdict means nothing."""
        return any(one.places and str(one.group.address) == name for one in self)

    def rules_of(self, address: EndpointAddress) -> Rules:
        """Return the rules of an endpoint: ranks of one engine share its canaries' cost."""
        gathering = self.of(address)
        if gathering is None:
            return self._rules
        return gathering.rules(address, self._rules, turns=self._rotate)

    def fold(self, endpoints: Sequence[EndpointHealth]) -> Fold:
        """Fold endpoints into the groups that they belong to."""
        return folded(endpoints, self._known.values())

    def turned(self, target: HealthCheckTarget) -> None:
        """Say how a group stands after a member's verdict changed; if it fell, ask the others."""
        for gathering in self:
            for address in gathering.places:
                watched = self._board.endpoints.get(address)
                if watched is not None and watched.target is target:
                    self._tell_of(gathering, worse=not target.standing.verdict.ready)
                    if gathering.spreads and _fell(target):
                        self._ask_others(gathering, address, target)
                    return

    def _ask_others(
        self, gathering: Gathering, fallen: EndpointAddress, target: HealthCheckTarget
    ) -> None:
        verdict = target.standing.verdict
        name, at = gathering.places[fallen].name, verdict.evidence.at
        for address in tuple(gathering.places):
            sibling = self._board.endpoints.get(address)
            if sibling is not None and address != fallen:
                self._board.tell(sibling.target, SiblingFailed(at, name, str(verdict.reason)))

    def _tell_of(self, gathering: Gathering, *, worse: bool) -> None:
        endpoints, now = self._board.endpoints, self._board.clock()
        known = {one: endpoints[one].health() for one in gathering.places if one in endpoints}
        health = gathering.health(known)
        told = f"{health.status} ({', '.join(map(str, health.sides))})"
        before, gathering.told = gathering.told or f"{HealthStatus.NOTREADY} (new)", told
        if told == before:
            return
        name, reason, why = str(health.address), health.reason, health.why(now)
        self._board.history.add(Transition(now, name, before, told, reason, why))
        level = logging.WARNING if worse else logging.INFO
        logger.log(level, "%s: %s -> %s (%s): %s", name, before, told, reason, why)

    def _turns_anew(self, gathering: Gathering, *also: EndpointAddress) -> None:
        """Share the turns among the ranks that there are now."""
        for address in (*gathering.places, *also):
            watched = self._board.endpoints.get(address)
            if watched is not None:
                target = watched.target
                target.configured = rules = self.rules_of(address)
                limits = target.limits
                target.rules = tuned(rules, target.learned, limits) if limits else rules
        self._board.changed()


def _fell(target: HealthCheckTarget) -> bool:
    """Whether it is not ready by a fault of its own."""
    verdict = target.standing.verdict
    own = isinstance(verdict.evidence, CanaryFailed) or verdict.reason is Reason.STALLED
    return own and not verdict.ready
