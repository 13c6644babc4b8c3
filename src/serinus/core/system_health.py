"""The fold of all verdicts into what the whole process says: ready or not, live or not.

Readiness follows the first rule that applies; a report names it:

1. draining, or an engine's death told by its owner: not ready;
2. any hold: not ready;
3. any check of the process that does not pass: not ready;
4. endpoints named in the settings: all of them ready (a missing one is not);
5. endpoints with a payload: all of those ready;
6. canaries enabled and endpoints known: all ready;
7. the process-wide status.

Liveness says whether a restart would help: an engine's death, or a hang proven for longer than its
budget. A group of endpoints counts as one in all of this (`group`). While the owner holds
readiness, or drains, a hang is not held against the process. A blocked loop is judged where it can
be seen: in the status process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from serinus.core.address import EndpointAddress
from serinus.core.correctness import Examined
from serinus.core.deadlines import Learned
from serinus.core.evidence import EngineDied
from serinus.core.rules import Rules
from serinus.core.status import HealthStatus, LiveReason, Reason, Rule
from serinus.core.verdict import Standing

__all__ = [
    "EndpointHealth",
    "Hold",
    "Judged",
    "Liveness",
    "Readiness",
    "SystemHealth",
    "display_names",
]


class Hold(NamedTuple):
    """The owner withholds readiness, since when and why."""

    why: str
    since: float


class Judged(Protocol):
    """What the fold reads: an endpoint that stands alone, or a group of them."""

    @property
    def address(self) -> EndpointAddress:
        """The address that it goes by."""

    @property
    def payload(self) -> bool:
        """Whether it has one."""

    @property
    def ready(self) -> bool:
        """Whether traffic may come to it."""

    @property
    def status(self) -> HealthStatus:
        """The status that the world is shown."""

    @property
    def reason(self) -> Reason:
        """Why it has its status."""

    @property
    def degraded(self) -> tuple[str, ...]:
        """A short, stable word for each thing that is off while it serves."""

    @property
    def obstacle(self) -> str:
        """What of it stands in the way, where it is not ready."""

    def falls(self, now: float, *, hangs: bool = True) -> tuple[LiveReason, str] | None:
        """Say why a restart would help by now; None if not. `hangs`: whether hangs count."""

    def falls_at(self) -> float | None:
        """When time alone will have made a restart help; None when only evidence can."""


class EndpointHealth(NamedTuple):
    """One endpoint as the fold sees it. `failing` names its own checks that do not pass.

    `degraded` has a short, stable word for each thing that is off while it serves, and `flaws` the
    same in figures. It stays ready unless it is `strict`.
    """

    address: EndpointAddress
    standing: Standing
    rules: Rules
    payload: bool
    failing: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()
    """In the order of `degraded`: what each word comes to, for people."""
    strict: bool = False
    """Whether an endpoint that is degraded is not ready."""
    configured: Rules | None = None
    """What `rules` were before anything was learned; None where nothing is."""
    learned: Learned = Learned()
    wrong: bool = False
    """Whether its answers are wrong, and the policy takes it out for that."""
    examined: Examined | None = None
    """What is known of its answers; None where they are not examined."""

    @property
    def ready(self) -> bool:
        """Whether the endpoint's verdict and its own checks are all good."""
        failed = self.failing or self.wrong or (self.strict and self.degraded)
        return self.standing.verdict.ready and not failed

    @property
    def status(self) -> HealthStatus:
        """The status that the world is shown."""
        return HealthStatus.READY if self.ready else HealthStatus.NOTREADY

    @property
    def reason(self) -> Reason:
        """The verdict's reason, or what turned it beside the verdict."""
        verdict = self.standing.verdict
        if self.ready or not verdict.ready:
            return verdict.reason
        if self.failing:
            return Reason.CHECK_FAILED
        return Reason.WRONG if self.wrong else Reason.DEGRADED

    @property
    def impaired(self) -> bool:
        """Whether it serves, but not as it should."""
        return self.ready and bool(self.degraded)

    @property
    def obstacle(self) -> str:
        """What of it stands in the way, where it is not ready."""
        return f"{self.address}: {self.reason}"

    def falls(self, now: float, *, hangs: bool = True) -> tuple[LiveReason, str] | None:
        """Say why a restart would help by now; None if not. `hangs`: whether hangs count."""
        standing = self.standing
        if standing.died is not None:
            return LiveReason.ENGINE_DIED, f"{self.address}: {standing.died}"
        hangs_at = self.falls_at()
        if hangs and hangs_at is not None and now >= hangs_at:
            budget = f"its hang is proven for longer than {self.rules.hang:g} s"
            return LiveReason.HANG, f"{self.address}: {standing.verdict.reason}, {budget}"
        return None

    def falls_at(self) -> float | None:
        """When its hang, if it has one, will have used up its budget."""
        return self.standing.hangs_at(self.rules)


class Readiness(NamedTuple):
    """The process's readiness, the rule that decided, and who stands in the way."""

    status: HealthStatus
    rule: Rule
    why: str
    blocking: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether traffic may come."""
        return self.status is HealthStatus.READY


class Liveness(NamedTuple):
    """Whether the process should go on living, and why."""

    live: bool
    reason: LiveReason
    why: str = ""


class SystemHealth(NamedTuple):
    """What is known of the process as a whole; endpoints are given to each question."""

    process_status: HealthStatus = HealthStatus.NOTREADY
    named: tuple[str, ...] = ()
    canaries: bool = False
    like_readiness: bool = False
    """Liveness is readiness, as the reference has it (`live_mode = "dynamo"`)."""
    holds: tuple[Hold, ...] = ()
    draining: bool = False
    died: EngineDied | None = None

    def readiness(
        self,
        endpoints: Sequence[Judged],
        failing_checks: tuple[str, ...] = (),
        *,
        members: Sequence[EndpointHealth] = (),
    ) -> Readiness:
        """Decide readiness by the first rule that applies.

        `members` are in groups, which decide for them; one that is named decides itself.
        """
        if self.draining:
            return _notready(Rule.DRAINING, "draining: in-flight requests end, no new ones")
        if self.died is not None:
            return _notready(Rule.ENGINE_DIED, str(self.died))
        if self.holds:
            return _notready(Rule.HOLD, "; ".join(f"hold: {hold.why}" for hold in self.holds))
        if failing_checks:
            return _notready(Rule.CHECKS, "checks of the process do not pass", failing_checks)
        if self.named:
            return self._named([*endpoints, *members])
        targets = [endpoint for endpoint in endpoints if endpoint.payload]
        if targets:
            return _all_ready(Rule.ENDPOINTS_WITH_PAYLOAD, targets)
        if self.canaries and endpoints:
            return _all_ready(Rule.ALL_ENDPOINTS, endpoints)
        return Readiness(
            self.process_status,
            Rule.PROCESS_STATUS,
            f"no endpoint decides; the process-wide status is {self.process_status}",
        )

    def liveness(
        self, endpoints: Iterable[Judged], readiness: Readiness, *, now: float
    ) -> Liveness:
        """Decide whether a restart would help."""
        if self.like_readiness:
            reason = LiveReason.LIVE if readiness.ready else LiveReason.NOT_READY
            return Liveness(live=readiness.ready, reason=reason, why=readiness.why)
        if self.died is not None:
            return Liveness(live=False, reason=LiveReason.ENGINE_DIED, why=str(self.died))
        for endpoint in endpoints:
            fallen = endpoint.falls(now, hangs=not self._patient)
            if fallen is not None:
                return Liveness(live=False, reason=fallen[0], why=fallen[1])
        return Liveness(live=True, reason=LiveReason.LIVE)

    def falls_at(self, endpoints: Iterable[Judged], *, now: float) -> float | None:
        """Say when time alone will make it not live; None when only evidence can."""
        if self._patient:
            return None
        falls = (endpoint.falls_at() for endpoint in endpoints)
        return min((at for at in falls if at is not None and at > now), default=None)

    @property
    def _patient(self) -> bool:
        """Whether a hang is not held against the process."""
        return bool(self.holds) or self.draining

    def _named(self, endpoints: Sequence[Judged]) -> Readiness:
        by_name: dict[str, list[Judged]] = {}
        for endpoint in endpoints:
            for name in (endpoint.address.endpoint, str(endpoint.address)):
                by_name.setdefault(name, []).append(endpoint)
        missing = tuple(name for name in self.named if name not in by_name)
        if missing:
            why = "named endpoints are not registered"
            return _notready(Rule.NAMED_ENDPOINTS, why, missing)
        chosen = {e.address: e for name in self.named for e in by_name[name]}
        return _all_ready(Rule.NAMED_ENDPOINTS, list(chosen.values()))


def display_names(addresses: Iterable[EndpointAddress]) -> Mapping[EndpointAddress, str]:
    """Name each endpoint as the status JSON does: by its own name, in full where two share it.

    >>> names = display_names(map(EndpointAddress.parse, ["n.a.generate", "n.b.generate", "n.a.x"]))
    >>> sorted(names.values())
    ['n.a.generate', 'n.b.generate', 'x']
    """
    known = list(addresses)
    shared = Counter(address.endpoint for address in known)
    return {a: a.endpoint if shared[a.endpoint] == 1 else str(a) for a in known}


def _notready(rule: Rule, why: str, blocking: tuple[str, ...] = ()) -> Readiness:
    return Readiness(HealthStatus.NOTREADY, rule, why, blocking)


def _all_ready(rule: Rule, endpoints: Sequence[Judged]) -> Readiness:
    blocking = tuple(endpoint.obstacle for endpoint in endpoints if not endpoint.ready)
    if blocking:
        return _notready(rule, f"{len(blocking)} of {len(endpoints)} not ready", blocking)
    return Readiness(HealthStatus.READY, rule, f"all {len(endpoints)} ready")
