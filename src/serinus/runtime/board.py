"""The board: every endpoint and check of this process, and what follows from them together.

It joins the manager, the process-wide state and the history, and calls `changed()` when the world
should be told. It serves nothing itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from serinus.core.address import EndpointAddress
from serinus.core.budget import Spending
from serinus.core.correctness import Finding
from serinus.core.deadlines import Learned, Limits
from serinus.core.evidence import (
    EngineDied,
    Evidence,
    Heard,
    Lease,
    Registered,
    Sleep,
)
from serinus.core.hearing import heard
from serinus.core.history import History, Transition
from serinus.core.own_state import Outage
from serinus.core.performance import Usual
from serinus.core.report import CheckReport, Report, told_of
from serinus.core.rules import Rules
from serinus.core.status import HealthStatus
from serinus.core.system_health import EndpointHealth, Hold, Liveness, Readiness, SystemHealth
from serinus.core.verdict import Verdict
from serinus.errors import LifecycleError, SettingsError
from serinus.runtime.gauge import Gauge, Goals
from serinus.runtime.groups import Groups
from serinus.runtime.leases import LeaseGrant, Leases
from serinus.runtime.loop_watch import slept
from serinus.runtime.manager import HealthCheckConfig, HealthCheckManager
from serinus.runtime.target import Answer, Asked, HealthCheckTarget, Source
from serinus.settings import Settings

if TYPE_CHECKING:
    from serinus.runtime.examiner import Examination, Examiner
    from serinus.runtime.memory import Memory, Remembered, Told

__all__ = ["DEGRADED_POLICIES", "Board", "Watched", "limits_of", "rules_of"]

logger = logging.getLogger("serinus")

DEGRADED_POLICIES = ("report", "notready")
"""What may become of an endpoint that serves, but not as it should."""
_WRONG = "wrong"
_SOUND: Mapping[str, str] = MappingProxyType({})
"""The flaw of an endpoint whose answers are wrong."""


@dataclass(slots=True, eq=False)
class Watched:
    """An endpoint on the board: its address, its target, and the checks of its own."""

    address: EndpointAddress
    target: HealthCheckTarget
    payload: bool
    checks: tuple[HealthCheckTarget, ...] = ()
    notes: Callable[[], Mapping[str, str]] | None = None
    strict: bool = False
    """Whether it is not ready while it is degraded."""
    flaws: Mapping[str, str] = field(default_factory=lambda: _SOUND)
    """What is off while it serves: a short, stable word for each, and what it comes to."""

    engine: str = ""
    """Whose times are learned: the kind and the model of the engine, as far as they are known."""
    gauge: Gauge[Watched] | None = None
    """What measures it; None where nothing is asked of it."""
    examiner: Examiner | None = None
    """Who examines its answers; None where nobody does."""
    reported: bool = False
    """Whether its answers are wrong, and that is only reported."""

    def health(self) -> EndpointHealth:
        """Return what the fold sees of it."""
        failing = tuple(c.name for c in self.checks if not c.standing.verdict.ready)
        target, flaws = self.target, sorted(self.flaws.items())
        return EndpointHealth(
            self.address,
            target.standing,
            target.rules,
            self.payload,
            failing,
            degraded=tuple(word for word, _ in flaws),
            flaws=tuple(told for _, told in flaws),
            strict=self.strict,
            configured=None if target.limits is None else target.configured,
            learned=target.learned,
            wrong=self.wrong,
            examined=None if self.examiner is None else self.examiner.examined(),
        )

    @property
    def wrong(self) -> bool:
        """Whether it is taken out for its answers."""
        examiner = self.examiner
        strict = examiner is not None and examiner.examination.policy == "notready"
        return strict and _WRONG in self.flaws


class Board:
    """All that is judged in this process. Every method is called on the event loop."""

    def __init__(
        self,
        settings: Settings,
        *,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
        observe: Callable[[HealthCheckTarget, Evidence], None] | None = None,
        memory: Memory | None = None,
        examination: Examination | None = None,
        slept: Callable[[], float] = slept,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.started = clock()
        self.memory = memory
        self.changed = changed
        self.endpoints: dict[EndpointAddress, Watched] = {}
        self.checks: dict[str, HealthCheckTarget] = {}
        self.history = History(size=settings.history_size)
        self.system = SystemHealth(
            process_status=HealthStatus(settings.system_starting_health_status),
            named=settings.use_endpoint_health_status,
            canaries=settings.health_check_enabled,
            like_readiness=settings.live_mode == "dynamo",
        )
        self.leases = Leases(
            most=settings.lease_max, clock=clock, changed=self._tell_lease, noted=self._note_lease
        )
        self.outage: Callable[[], Outage | None] = lambda: None
        """Whether all engines are silent at once; who speaks to several of them says so."""
        self.govern: Callable[[Liveness], Liveness] = lambda liveness: liveness
        """Has the last word on liveness: among replicas, not all are restarted at once."""
        self.fleet: Callable[[], Mapping[str, Any]] = dict
        """What is known of discovery and of the request plane, for people."""
        self._rules = rules_of(settings)
        self.groups = Groups(self, self._rules, rotate=settings.rank_canaries == "rotate")
        self._limits = limits_of(settings)
        self._goals = Goals.of(settings)
        self._flaw, self._mend = self.flaw, self.mend  # one for all gauges, which are many
        self.examination = _examination(settings) if examination is None else examination
        config = HealthCheckConfig(
            concurrency=settings.canary_concurrency,
            cancel_grace=settings.canary_cancel_grace,
            seed=seed,
        )
        self.manager = HealthCheckManager(
            config,
            clock=clock,
            changed=self._judged,
            moved=lambda _target: self.changed(),
            observe=observe,
            slept=slept,
        )

    # --- endpoints and checks ----------------------------------------------------------------

    def watch(
        self,
        address: EndpointAddress,
        source: Source,
        *,
        payload: bool,
        rules: Rules | None = None,
        notes: Callable[[], Mapping[str, str]] | None = None,
        degraded_policy: str | None = None,
    ) -> Watched:
        """Put an endpoint on the board. Raises LifecycleError if the address is taken.

        `payload`: its source can be asked. `notes` are for people: what is known beside the
        evidence, read whenever details are asked.
        `degraded_policy` is the settings' if None.
        """
        if address in self.endpoints:
            raise LifecycleError(
                f"endpoint {address} is served already; withdraw it before it is served again"
            )
        canary = payload and self.settings.health_check_enabled
        target = HealthCheckTarget(
            str(address),
            rules=rules if rules is not None else self.groups.rules_of(address),
            registered=Registered(self.clock(), canary=canary),
            source=source,
            limits=self._limits,
        )
        policy = degraded_policy if degraded_policy is not None else self.settings.degraded_policy
        strict = policy == "notready"
        watched = Watched(address, target, payload, notes=notes, strict=strict)
        watched.gauge = self._gauge(watched)
        if self.memory is not None:
            of_canaries, of_tokens = self.memory.spent(str(address), self.clock())
            spent = Spending(of_canaries=of_canaries, of_tokens=of_tokens)
            target.standing = target.standing._replace(spent=spent)
        self.endpoints[address] = watched
        self._start(target, self.groups.scopes(address))
        return watched

    def unwatch(self, watched: Watched) -> None:
        """Take an endpoint and its checks off the board."""
        if self.endpoints.get(watched.address) is watched:
            if self.memory is not None and watched.engine:
                self.memory.keep([self._remembered(watched)])
            del self.endpoints[watched.address]
        for target in (watched.target, *watched.checks):
            self.manager.remove(target)
        self.changed()

    def identify(self, watched: Watched, engine: str) -> None:
        """Say which engine and model an endpoint has: another one does not inherit their times."""
        if engine == watched.engine:
            return
        known = self._recalled(watched, engine)
        target, gauge = watched.target, watched.gauge
        if watched.engine or known is not None:
            target.taught(known.learned if known is not None else Learned())
            if gauge is not None:
                gauge.first = known.first if known is not None else Usual()
                if watched.engine:
                    gauge.another()
        watched.engine = engine
        if watched.examiner is not None:
            watched.examiner.begin(engine, None if known is None else known.sheet)

    def _recalled(self, watched: Watched, engine: str) -> Remembered | None:
        return self.memory.recall(str(watched.address), engine) if self.memory else None

    def remembered(self) -> Iterable[Told]:
        """Return what is worth keeping of the endpoints that are known by their engines."""
        for watched in self.endpoints.values():
            if watched.engine:
                yield self._remembered(watched)

    def _remembered(self, watched: Watched) -> Told:
        first = Usual() if watched.gauge is None else watched.gauge.first
        target, now = watched.target, self.clock()
        spent = target.standing.spent
        purses = (
            spent.of_canaries.filled(target.rules.budget, now),
            spent.of_tokens.filled(target.rules.token_budget, now),
        )
        sheet = None if watched.examiner is None else watched.examiner.sheet()
        return str(watched.address), watched.engine, target.learned, first, purses, sheet

    def _gauge(self, watched: Watched) -> Gauge[Watched] | None:
        if self._goals is None:
            return None
        gauge = Gauge(self._goals, watched, flaw=self._flaw, mend=self._mend)
        watched.target.gauge = gauge
        return gauge

    def examine(
        self,
        watched: Watched,
        examine: Callable[[], Awaitable[Answer]],
        *,
        prompts: Sequence[str] | None = None,
    ) -> Examiner | None:
        """Have an endpoint's answers examined from now on; None if the settings ask for none.

        `examine` puts the question whose turn it is; `prompts` are the settings' if None.
        """
        if self.examination is None or not watched.target.standing.canary:
            return None
        from serinus.runtime.examiner import Examiner  # noqa: PLC0415 - only who examines pays

        examiner = Examiner(
            self.examination,
            prompts,
            examine=examine,
            turned=partial(self._answers_turned, watched),
            clock=self.clock,
        )
        watched.examiner = watched.target.examiner = examiner
        if watched.engine:
            known = self._recalled(watched, watched.engine)
            examiner.begin(watched.engine, None if known is None else known.sheet)
        return examiner

    def _answers_turned(self, watched: Watched, finding: Finding | None) -> None:
        """Take in that an endpoint's answers turned wrong, or right again."""
        examiner = watched.examiner
        told = (
            "its answers are right again" if finding is None else f"{finding.wrong}: {finding.told}"
        )
        if examiner is not None and examiner.examination.policy != "report":
            (self.mend if finding is None else self.flaw)(watched, _WRONG, told)
            return
        wrong = finding is not None
        if wrong is not watched.reported:
            watched.reported = wrong
            before, after = ("right", _WRONG) if wrong else (_WRONG, "right")
            self._flaws_turned(watched, before, after, _WRONG, told)

    def flaw(self, watched: Watched, word: str, told: str) -> None:
        """Say that something is off while an endpoint serves: a stable word, and what it comes to.

        The same word again renews what it comes to.
        """
        known = word in watched.flaws
        watched.flaws = {**watched.flaws, word: told}
        if not known:
            self._flaws_turned(watched, "ready", "degraded", word, told)

    def mend(self, watched: Watched, word: str, told: str) -> None:
        """Say that what was off is right again; without the flaw it does nothing."""
        if word in watched.flaws:
            watched.flaws = {w: told for w, told in watched.flaws.items() if w != word}
            self._flaws_turned(watched, "degraded", "ready", word, told)

    def _flaws_turned(
        self, watched: Watched, before: str, after: str, word: str, told: str
    ) -> None:
        name = str(watched.address)
        self.history.add(Transition(self.clock(), name, before, after, word, told))
        level = logging.WARNING if after in {"degraded", _WRONG} else logging.INFO
        logger.log(level, "%s: %s -> %s (%s): %s", name, before, after, word, told)
        self.changed()

    def add_check(
        self,
        name: str,
        ask: Callable[[], Awaitable[Answer]],
        *,
        interval: float,
        timeout: float,
        owner: Watched | None = None,
    ) -> HealthCheckTarget:
        """Add a custom check of the process, or of one endpoint (`owner`)."""
        if not (interval > 0 and timeout > 0):
            raise SettingsError(
                f"check {name!r}: interval {interval!r}, timeout {timeout!r}; "
                "accepted: seconds greater than 0"
            )
        taken = self.checks if owner is None else {check.name for check in owner.checks}
        if name in taken:
            raise LifecycleError(f"check {name!r} exists already")
        target = HealthCheckTarget(
            name,
            rules=self._rules._replace(wait=interval, deadline=timeout, budget=0, token_budget=0),
            registered=Registered(self.clock(), canary=True),
            source=Asked(ask),
        )
        if owner is None:
            self.checks[name] = target
        else:
            owner.checks = (*owner.checks, target)
        self._start(target, ("",) if owner is None else self.groups.scopes(owner.address))
        return target

    def tell(self, target: HealthCheckTarget, *evidence: Evidence) -> None:
        """Bring evidence that nobody asked for."""
        self.manager.tell(target, *evidence)

    def hurry(self, target: HealthCheckTarget) -> bool:
        """Send its next routine canary now, for a hint that is no evidence; say whether it is."""
        return self.manager.hurry(target)

    def _start(self, target: HealthCheckTarget, scopes: tuple[str, ...]) -> None:
        self.manager.add(target)
        lease = self._lease_of(scopes, self.clock())
        if lease is not None:
            self.manager.tell(target, lease)
        self.changed()

    # --- the owner's words -------------------------------------------------------------------

    def set_status(self, status: HealthStatus) -> None:
        """Set the process-wide status, which decides where no endpoint does."""
        self.system = self.system._replace(process_status=status)
        self.changed()

    def hold(self, why: str) -> Hold:
        """Withhold readiness until the hold is released."""
        hold = Hold(why, self.clock())
        self.system = self.system._replace(holds=(*self.system.holds, hold))
        self.changed()
        return hold

    def release(self, hold: Hold) -> None:
        """Release a hold; twice is once."""
        holds = tuple(kept for kept in self.system.holds if kept is not hold)
        self.system = self.system._replace(holds=holds)
        self.changed()

    def lease(self, why: str, *, seconds: float, endpoint: str = "") -> LeaseGrant:
        """Announce a planned pause. Raises SettingsError beyond `lease_max`."""
        return self.leases.take(why, seconds=seconds, endpoint=endpoint)

    def lease_until(self, watched: Watched) -> float:
        """When the last lease that covers an endpoint ends; the past when none does."""
        return self.leases.until_of(str(watched.address))

    def slept(self, asleep: bool, detail: str) -> None:  # noqa: FBT001 - a callback's word
        """Take the word of the engine behind all endpoints that it sleeps, or is awake."""
        word = Sleep(self.clock(), asleep, detail)
        for watched in tuple(self.endpoints.values()):
            self.manager.tell(watched.target, word)

    def engine_died(self, why: str) -> None:
        """Say that the engine of this process is gone: not ready, not live, for good."""
        if self.system.died is not None:
            return
        death = EngineDied(self.clock(), why)
        self.system = self.system._replace(died=death)
        logger.error("engine died: %s", why)
        for watched in tuple(self.endpoints.values()):
            self.manager.tell(watched.target, death)
        self.changed()

    def heard(self, well: bool | None, detail: str) -> None:  # noqa: FBT001 - a callback's word
        """Take the word on its own health of the engine behind all endpoints of this process."""
        word = Heard(self.clock(), well, detail)
        for watched in tuple(self.endpoints.values()):
            self.manager.tell(watched.target, word)

    def drain(self) -> None:
        """Say that no new work is wanted, and send no more canaries."""
        self.system = self.system._replace(draining=True)
        self.manager.pause()
        self.changed()

    def _tell_lease(self, endpoint: str) -> None:
        now = self.clock()
        for scopes, target in tuple(self._scoped()):
            if not endpoint or endpoint in scopes:
                self.manager.tell(target, self._lease_of(scopes, now) or Lease(now, now))
        self.changed()

    def _lease_of(self, scopes: tuple[str, ...], now: float) -> Lease | None:
        """Return what the leases come to that cover a target; None when none does."""
        found = [self.leases.evidence(scope, now) for scope in scopes]
        return max(filter(None, found), key=lambda lease: lease.until, default=None)

    def _note_lease(self, subject: str, before: str, after: str, reason: str, told: str) -> None:
        self.history.add(Transition(self.clock(), subject, before, after, reason, told))
        level = logging.WARNING if reason == "ran_out" else logging.INFO
        logger.log(level, "%s: %s: %s", subject, reason, told)

    def _scoped(self) -> Iterable[tuple[tuple[str, ...], HealthCheckTarget]]:
        """Return every target with the addresses that a lease for it may have.

        That of its endpoint, that of the endpoint's group; an empty one for the process's checks.
        """
        for watched in tuple(self.endpoints.values()):
            for target in (watched.target, *watched.checks):
                yield self.groups.scopes(watched.address), target
        for target in tuple(self.checks.values()):
            yield ("",), target

    # --- what follows ------------------------------------------------------------------------

    def health(self) -> list[EndpointHealth]:
        """Return every endpoint as the fold sees it, by address."""
        return [self.endpoints[address].health() for address in sorted(self.endpoints)]

    def readiness(self, endpoints: list[EndpointHealth]) -> Readiness:
        """Fold readiness."""
        failing = tuple(n for n, check in self.checks.items() if not check.standing.verdict.ready)
        fold = self.groups.fold(endpoints)
        return self.system.readiness(fold.judged, failing, members=fold.members)

    def liveness(self, endpoints: list[EndpointHealth], readiness: Readiness) -> Liveness:
        """Fold liveness."""
        judged = self.groups.fold(endpoints).judged
        return self.govern(self.system.liveness(judged, readiness, now=self.clock()))

    def look_around(self) -> None:
        """Take a look at what traffic shows, everywhere."""
        now = self.clock()
        for _, target in tuple(self._scoped()):
            if seen := tuple(target.source.look(now)):
                self.manager.tell(target, *seen)

    def report(self) -> Report:
        """Take a snapshot of everything, after a look at what traffic shows."""
        now = self.clock()
        self.look_around()
        endpoints = self.health()
        readiness, fold = self.readiness(endpoints), self.groups.fold(endpoints)
        return Report(
            at=now,
            readiness=readiness,
            liveness=self.liveness(endpoints, readiness),
            endpoints=fold.endpoints,
            groups=fold.groups,
            checks=tuple(self._check_reports()),
            holds=self.system.holds,
            leases=self.leases.report(),
            lease_file=self.settings.lease_file,
            history=self.history.transitions,
            forgotten=self.history.forgotten,
            own=self.manager.own_state()._replace(outage=self.outage()),
            notes={str(a): one.notes() for a, one in self.endpoints.items() if one.notes},
            fleet=self.fleet(),
        )

    def _check_reports(self) -> Iterable[CheckReport]:
        for name, target in self.checks.items():
            yield CheckReport(name, "process", target.standing)
        for watched in self.endpoints.values():
            for target in watched.checks:
                owner = str(watched.address)
                yield CheckReport(target.name, owner, target.standing)

    def _judged(self, target: HealthCheckTarget, before: Verdict) -> None:
        if self.groups.speaks_for(target.name):
            self.changed()
            return
        after = target.standing.verdict
        at = after.evidence.at
        detail = told_of(target.standing, at)
        self.history.add(
            Transition(at, target.name, before.status, after.status, after.reason, detail)
        )
        level = logging.INFO if after.ready else logging.WARNING
        logger.log(
            level,
            "%s: %s (%s) -> %s (%s): %s; %s",
            target.name,
            before.status,
            before.reason,
            after.status,
            after.reason,
            detail,
            heard(target.standing, target.rules, now=at),
        )
        self.groups.turned(target)
        self.changed()


def _examination(settings: Settings) -> Examination | None:
    if settings.correctness_policy == "off":
        return None
    from serinus.runtime.examiner import Examination  # noqa: PLC0415 - only who examines pays

    return Examination.of(settings)


def limits_of(settings: Settings) -> Limits | None:
    """Return what the settings allow to be learned; None if nothing is to be."""
    if not settings.adaptive:
        return None
    return Limits.of(
        settings.adaptive_sensitivity,
        deadline_floor=settings.adaptive_deadline_floor,
        deadline_ceiling=settings.adaptive_deadline_ceiling
        or settings.health_check_request_timeout,
        stall_floor=settings.adaptive_stall_floor,
        stall_ceiling=settings.adaptive_stall_ceiling or settings.health_check_busy_stall,
    )


def rules_of(settings: Settings) -> Rules:
    """Return the rules that the settings give to every endpoint."""
    return Rules(
        wait=settings.canary_wait_time,
        deadline=settings.health_check_request_timeout,
        stall=settings.health_check_busy_stall,
        hang=settings.hang_budget,
        failure_threshold=settings.failure_threshold,
        success_threshold=settings.success_threshold,
        jitter=settings.canary_jitter,
        excuse=settings.excuse_budget,
        budget=settings.canary_budget,
        token_budget=settings.canary_token_budget,
    )
