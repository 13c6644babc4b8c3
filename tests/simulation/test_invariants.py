"""What Serinus promises of every schedule of faults, over thousands of them."""

from __future__ import annotations

import pytest

from serinus.core.verdict import Standing
from serinus.simulation.faults import HARMLESS, STOPS, Fault
from serinus.simulation.invariants import INVARIANTS, Terms
from serinus.simulation.judging import terms_of
from serinus.simulation.record import Record
from serinus.simulation.reference import judged_by_reference
from serinus.simulation.schedule import Schedule
from serinus.simulation.world import Plan, asleep_in, judged_by_serinus, schedules

WORLDS, ENGINES, SECONDS = 64, 16, 900.0
"""64 worlds of 16 engines for each promise: 1,024 schedules, of which no two promises share any."""
RANGES = {name: number * WORLDS for number, name in enumerate(INVARIANTS)}


def problems_in(name: str, plan: Plan, **settings: object) -> list[str]:
    """Judge a world by these settings, and hold the default settings' promise against it."""
    drawn = schedules(plan)
    trace = name == "verdicts_have_evidence"
    records = judged_by_serinus(drawn, settings, seed=plan.seed, trace=trace)
    terms = terms_of({}, drawn)
    return [
        f"{problem}\n  serinus simulate --seed {plan.seed} --hours {plan.seconds / 3600:g}"
        f" --engines {plan.engines} --trace"
        for schedule, record in zip(drawn, records, strict=True)
        for problem in INVARIANTS[name](schedule, record, terms)
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", INVARIANTS)
def test_a_promise_holds_whatever_happens(name: str) -> None:
    """Each promise over a thousand schedules of its own; `make simulate` runs more."""
    for seed in range(RANGES[name], RANGES[name] + WORLDS):
        found = problems_in(name, Plan(1000 + seed, seconds=SECONDS, engines=ENGINES))
        assert not found, "\n".join(found)


# --- the checks can fail: a rule is broken on purpose, and the promise is seen to break ----------


def broken_somewhere(name: str, faults: tuple[Fault, ...], **settings: object) -> bool:
    """Whether one of a few worlds breaks a promise."""
    return any(
        problems_in(name, Plan(seed, seconds=1800, engines=8, faults=faults), **settings)
        for seed in range(6)
    )


def test_a_judge_that_takes_busy_for_dead_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the busy rule canaries wait behind users, and fail."""
    assert not broken_somewhere("the_well_are_ready", (Fault.SATURATION, Fault.LONG_PREFILL))
    monkeypatch.setattr(Standing, "busy", property(lambda _self: False))
    assert broken_somewhere("the_well_are_ready", (Fault.SATURATION, Fault.LONG_PREFILL))


def test_a_judge_that_accuses_after_one_failure_is_caught() -> None:
    """One lost answer is no fault of the engine's."""
    faults = (Fault.LOST_ANSWER, Fault.LATE_ANSWER)
    assert broken_somewhere("the_well_are_ready", faults, failure_threshold=1)


def test_a_judge_without_a_stall_budget_is_caught() -> None:
    """Work that stands still is seen by nothing else."""
    faults = (Fault.HANG, Fault.STALL, Fault.PARTIAL)
    assert broken_somewhere("the_sick_are_seen", faults, health_check_busy_stall=1e6)


def test_a_judge_that_is_slow_to_forgive_is_caught() -> None:
    """Recovery has a bound."""
    assert broken_somewhere("the_recovered_are_ready", tuple(STOPS), success_threshold=50)


def test_a_judge_whose_dead_are_not_asked_while_busy_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An engine that came back to users would stay dead: found by simulation, and kept."""
    for place in ("serinus.core.pacing.ask_at", "serinus.runtime.manager.ask_at"):
        monkeypatch.setattr(place, _without_the_rule_for_the_dead)
    monkeypatch.setattr(Standing, "_revived", lambda *_: False)  # users' answers find it too
    name, drawn = "the_recovered_are_ready", (Fault.CRASH,)
    assert any(
        problems_in(name, Plan(seed, seconds=1800, engines=2, faults=drawn, busy=True))
        for seed in range(8)
    )


def _without_the_rule_for_the_dead(standing: Standing, rules: object, *, early: float) -> float:
    from serinus.core import pacing  # noqa: PLC0415 - the original's parts

    if not standing.canary or standing.busy:
        return float("inf")
    wanted: float = pacing._wanted(standing, rules, early)  # type: ignore[arg-type]
    return max(wanted, standing.lease_until)


def reference_breaks(name: str, faults: tuple[Fault, ...]) -> bool:
    """Whether the reference's rules break a promise of ours in one of a few worlds."""
    for seed in range(6):
        drawn = schedules(Plan(seed, seconds=1800, engines=8, faults=faults))
        for schedule in drawn:
            record = judged_by_reference(schedule, asleep=asleep_in(drawn))
            if list(INVARIANTS[name](schedule, record, terms_of({}, drawn))):
                return True
    return False


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("the_well_are_ready", tuple(HARMLESS)),
        ("the_sick_are_seen", (Fault.ERROR_ITEM,)),
        ("one_canary_at_a_time", (Fault.HANG,)),
        ("liveness_falls_for_hangs", tuple(HARMLESS)),
    ],
)
def test_the_references_rules_break_it(name: str, faults: tuple[Fault, ...]) -> None:
    """What it was measured to do is what these promises are there against."""
    assert reference_breaks(name, faults)


def test_a_verdict_from_nowhere_is_caught(schedule: Schedule, terms: Terms) -> None:
    """A turn at a moment at which nothing was told."""
    record = Record("serinus", schedule.seconds, history=[])
    record.tell(5.0, "canary failed")
    record.turned(record.ready, 5.0, good=True)
    check = INVARIANTS["verdicts_have_evidence"]
    assert not list(check(schedule, record, terms))
    record.turned(record.ready, 6.0, good=False)
    assert list(check(schedule, record, terms))


def test_a_relapse_is_caught(terms: Terms) -> None:
    """Ready after a fault, and not ready again at once."""
    [schedule] = schedules(Plan(1, seconds=1800, faults=(Fault.HANG,)))
    record, end = Record("serinus", schedule.seconds), schedule.windows[0].end
    for at, good in ((10.0, True), (end - 50, False), (end + 1, True)):
        record.turned(record.ready, at, good=good)
    check = INVARIANTS["nobody_relapses"]
    assert not list(check(schedule, record, terms))
    record.turned(record.ready, end + 2, good=False)
    assert list(check(schedule, record, terms))


@pytest.fixture
def schedule() -> Schedule:
    """A schedule without faults."""
    return schedules(Plan(0, seconds=600, faults=()))[0]


@pytest.fixture
def terms(schedule: Schedule) -> Terms:
    """The promises of the default settings."""
    return terms_of({}, (schedule,))


def test_the_same_seed_is_the_same_history_byte_for_byte() -> None:
    """Otherwise nothing could be replayed; and another seed is another history."""

    def history(seed: int) -> bytes:
        drawn = schedules(Plan(seed, seconds=1800, engines=4))
        records = judged_by_serinus(drawn, {}, seed=seed, trace=True)
        return "\n".join(line for one in records for line in one.history or ()).encode()

    for seed in range(8):
        assert history(seed) == history(seed)
    assert history(1) != history(2)
