"""What holds for any order of evidence, and for any rules that the settings accept."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from serinus.core.address import EndpointAddress
from serinus.core.budget import affordable_at, stretched
from serinus.core.evidence import (
    Blinded,
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    CanaryUnknown,
    EngineDied,
    Evidence,
    Heard,
    Lease,
    Load,
    Loading,
    Phase,
    Progress,
    Registered,
    RequestFailed,
    RequestFault,
    SiblingFailed,
    Tick,
    Witness,
)
from serinus.core.hearing import heard
from serinus.core.pacing import Due, Step, next_due, next_look
from serinus.core.rules import Rules
from serinus.core.status import HealthStatus, LiveReason, Reason, Rule
from serinus.core.system_health import EndpointHealth, Readiness, SystemHealth
from serinus.core.verdict import Standing
from serinus.core.witnesses import Says

FAULT_REASONS = frozenset(
    reason for reason in Reason if reason.startswith("canary_") and reason is not Reason.CANARY
)
SECONDS = st.floats(0.001, 100)
RULES = st.builds(
    Rules,
    wait=SECONDS,
    deadline=SECONDS,
    stall=SECONDS,
    hang=SECONDS,
    excuse=SECONDS,
    doubt=st.just(0.0) | SECONDS,
    on_top=SECONDS,
    failure_threshold=st.integers(1, 3),
    success_threshold=st.integers(1, 3),
    jitter=st.floats(0, 0.5),
    ranks=st.integers(1, 8),
    turn=st.floats(-1000, 1000),
)
FLAGS = st.booleans()
STEPS = st.floats(0, 30)
"""Seconds between two pieces of evidence; often none at all."""


AGO = st.floats(0, 60)
SIGHTINGS: st.SearchStrategy[Callable[[float], Evidence]] = st.one_of(
    st.just(Tick),
    st.just(CanaryUnknown),
    st.just(lambda at: SiblingFailed(at, "rank 1")),
    st.just(EngineDied),
    st.just(lambda at: CanaryPassed(at, 0.1, 0.1)),
    st.builds(lambda w, flow: lambda at: Progress(at, w, flow), st.sampled_from(Witness), FLAGS),
    st.builds(
        lambda pending, ago, by: (
            lambda at: Load(at, pending, None if ago is None else at - ago, by)
        ),
        st.none() | st.integers(0, 3),
        st.none() | AGO,
        st.sampled_from([Witness.TRAFFIC, Witness.COUNTERS]),
    ),
    st.builds(lambda fault: lambda at: RequestFailed(at, fault), st.sampled_from(RequestFault)),
    st.builds(
        lambda ago, fault: lambda at: CanaryFailed(at, at - ago, fault),
        AGO,
        st.sampled_from(CanaryFault),
    ),
    st.builds(lambda ago: lambda at: Blinded(at, at - ago), AGO),
    st.builds(lambda phase: lambda at: Loading(at, phase), st.sampled_from(Phase)),
    st.builds(lambda well: lambda at: Heard(at, well), st.none() | FLAGS),
    st.builds(lambda left: lambda at: Lease(at, at + left), st.floats(-60, 60)),
)
"""Anything that can be seen, at a time that is given later; canaries were sent before."""
STORIES = st.lists(st.tuples(STEPS, SIGHTINGS), max_size=30).map(
    lambda steps: [
        sighting(at)
        for at, (_, sighting) in zip(accumulate(step for step, _ in steps), steps, strict=True)
    ]
)
"""Evidence in the order of its times."""


@given(STORIES, RULES, st.booleans())
def test_the_same_evidence_gives_the_same_standing(
    story: list[Evidence], rules: Rules, canary: bool
) -> None:
    """Nothing is read but the evidence: any run can be replayed."""

    def told() -> Standing:
        standing = Standing.of(Registered(0.0, canary=canary))
        for evidence in story:
            standing = standing.after(evidence, rules)
        return standing

    assert told() == told()


@given(STORIES, RULES)
def test_with_thresholds_of_one_the_last_word_decides(story: list[Evidence], rules: Rules) -> None:
    """The reference's behaviour: one result is enough, both ways, where nothing excuses it."""
    at_once = rules._replace(failure_threshold=1, success_threshold=1)
    standing = Standing.of(Registered(0.0, canary=True))
    for evidence in story:
        before, standing = standing, standing.after(evidence, at_once)
        if isinstance(evidence, CanaryPassed) and not standing.busy:
            assert standing.verdict.ready
        if isinstance(evidence, CanaryFailed) and standing.failures > before.failures:
            assert not standing.verdict.ready


class Life(RuleBasedStateMachine):
    """An endpoint to which anything may happen, and what must hold after each thing."""

    @initialize(rules=RULES, canary=st.booleans())
    def begin(self, rules: Rules, canary: bool) -> None:
        """Register it."""
        self.by = rules
        self.standing = Standing.of(Registered(0.0, canary=canary))
        self.at = 0.0
        self.proofs = 0
        self.canaries_passed_since_death = True
        self.row: list[CanaryFailed] = []
        """Failures since the last proof, whether they counted or not."""

    @rule(step=STEPS, sighting=SIGHTINGS)
    def see(self, step: float, sighting: Callable[[float], Evidence]) -> None:
        """Bring any evidence."""
        self.at += step
        self._tell(sighting(self.at))

    @precondition(lambda self: next_look(self.standing, self.by, now=self.at).at < math.inf)
    @rule()
    def wait_for_the_look(self) -> None:
        """Go exactly to where time alone may decide."""
        self.at = next_look(self.standing, self.by, now=self.at).at
        self._tell(Tick(self.at))

    @precondition(lambda self: self._due().step is Step.ASK and self._due().at < math.inf)
    @rule(passes=st.booleans(), fault=st.sampled_from(CanaryFault))
    def ask_when_it_is_due(self, passes: bool, fault: CanaryFault) -> None:
        """Ask as the manager does, and answer at the deadline."""
        sent = max(self.at, self._due().at)
        self.at = sent + self.by.deadline
        if passes:
            self._tell(CanaryPassed(self.at, self.by.deadline, self.by.deadline))
        else:
            self._tell(CanaryFailed(self.at, sent, fault))

    def _due(self) -> Due:
        return next_due(self.standing, self.by, now=self.at)

    def _tell(self, evidence: Evidence) -> None:
        before, self.standing = self.standing, self.standing.after(evidence, self.by)
        if isinstance(evidence, CanaryPassed | Progress):
            self.proofs += 1
            self.row = []
        if isinstance(evidence, CanaryFailed):
            self.row.append(evidence)
        if isinstance(evidence, EngineDied):
            self.canaries_passed_since_death = False
        if isinstance(evidence, CanaryPassed):
            self.canaries_passed_since_death = True
        if before.verdict.ready and self.standing.verdict.reason in FAULT_REASONS:
            self._condemned_with_cause(evidence)

    def _condemned_with_cause(self, evidence: Evidence) -> None:
        """Turned by a canary's fault: enough failures in a row since the last proof, or stuck."""
        assert self.standing.verdict.evidence is evidence is self.row[-1]
        assert self.standing.failures <= len(self.row)
        stuck = self.row[-1].fault is CanaryFault.STUCK
        assert stuck or self.standing.failures >= self.by.failure_threshold

    @invariant()
    def ready_with_a_canary_is_proven(self) -> None:
        """Readiness is by proof."""
        if self.standing.canary and self.standing.verdict.ready:
            assert self.proofs
            assert self.standing.proven_at is not None

    @invariant()
    def dead_until_a_canary_passes(self) -> None:
        """And only then."""
        if not self.canaries_passed_since_death:
            assert self.standing.verdict.reason is Reason.ENGINE_DIED

    @invariant()
    def time_alone_changes_nothing_in_no_time(self) -> None:
        """A look at the same moment finds the same."""
        assert self.standing.after(Tick(self.at), self.by) == self.standing

    @invariant()
    def what_is_due_is_a_time_and_never_a_nuisance(self) -> None:
        """Never NaN; no canary before its lease's end, unwanted, or on top of work that goes on."""
        for early in (0.0, 0.3, 1.0):
            due = next_due(self.standing, self.by, now=self.at, early=early)
            assert not math.isnan(due.at)
            if due.step is Step.LOOK:
                assert due.at > self.at
            elif due.at < math.inf:
                assert self.standing.canary
                busy = self.standing.busy and self.standing.died is None
                if busy and not self.standing.suspected:  # work is in doubt
                    assert self.by.doubt > 0
                    assert due.at >= self.standing.flow_at + self.by.doubt
                assert not self.standing.leased(due.at)

    @invariant()
    def something_is_always_due_where_there_is_a_canary(self) -> None:
        """No endpoint is forgotten: it is asked, or looked at, within a bound.

        One that loads and cannot hear is not asked: who sees it load tells when it can.
        """
        deaf = self.standing.phase in (Phase.PORT_CLOSED, Phase.NO_MODEL, Phase.UNRECOGNISED)
        if self.standing.canary and (self.standing.verdict.ready or not deaf):
            at = next_due(self.standing, self.by, now=self.at).at
            spent, urgent = self.standing.spent, self.standing.urgent
            turns = self.by.ranks + (self.by.ranks > 1)
            longest = max(stretched(spent, self.by, now=self.at) * turns, self.by.retry)
            paid_at = affordable_at(spent, self.by, urgent=urgent)
            assert at <= max(self.at, self.standing.lease_until, paid_at) + longest

    @invariant()
    def liveness_never_falls_by_a_hang_that_was_never_a_service(self) -> None:
        """An endpoint that was never proven may load for ever; one that is ready is alive."""
        address = EndpointAddress("n", "c", "e")
        health = EndpointHealth(address, self.standing, self.by, payload=self.standing.canary)
        readiness = Readiness(HealthStatus.NOTREADY, Rule.ENDPOINTS_WITH_PAYLOAD, "")
        for now in (self.at, self.at + 1e9):
            liveness = SystemHealth().liveness([health], readiness, now=now)
            if not self.proofs or self.standing.verdict.ready:
                assert liveness.reason is not LiveReason.HANG

    @invariant()
    def a_hang_falls_a_whole_budget_after_its_last_sign_of_life(self) -> None:
        """Proofs and leases both begin the budget anew."""
        hangs_at = self.standing.hangs_at(self.by)
        if hangs_at is not None:
            assert self.standing.proven_at is not None
            began = max(self.standing.proven_at, self.standing.lease_until)
            assert hangs_at >= began + self.by.hang

    @invariant()
    def somebody_decided_and_agrees_with_the_verdict(self) -> None:
        """Whatever was seen, the report can say who it was, and everyone's weight is in bounds."""
        hearing = heard(self.standing, self.by, now=self.at)
        well = hearing.decided.says is Says.WELL
        assert well is self.standing.verdict.ready
        assert all(0 <= one.weight <= 1 for one in hearing.testimonies)
        assert all(one.witness is not hearing.decided.witness for one in hearing.disagree)
        assert len({one.witness for one in hearing.testimonies}) == len(hearing.testimonies)
        assert str(hearing)

    @invariant()
    def trouble_of_our_own_asks_for_no_restart(self) -> None:
        """Whoever cannot see accuses nobody."""
        if self.standing.verdict.reason is Reason.BLIND:
            assert self.standing.hung_since is None

    @invariant()
    def counts_make_sense(self) -> None:
        """A life's numbers."""
        standing = self.standing
        assert standing.failures >= 0
        assert standing.canary_faults >= 0
        assert (standing.fault is not None) or not standing.failures
        assert standing.verdict.since <= self.at
        assert standing.suspected <= standing.verdict.ready


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
