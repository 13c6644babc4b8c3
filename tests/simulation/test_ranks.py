"""Ranks of one engine in virtual time: a hung one is seen in time, a healthy one never accused."""

from __future__ import annotations

import pytest

from serinus.runtime.gathering import Gathering
from serinus.simulation.faults import STOPS, Fault
from serinus.simulation.invariants import INVARIANTS
from serinus.simulation.judging import terms_of
from serinus.simulation.world import Plan, judged_by_serinus, schedules

PROMISES = ("the_well_are_ready", "the_sick_are_seen", "the_recovered_are_ready", "nobody_relapses")
WORLDS, RANKS, SECONDS = 12, 4, 3600.0
OF_A_RANK = tuple(fault for fault in Fault if fault is not Fault.SUSPEND)
"""Each rank has faults of its own; the host's sleep is everybody's, and is judged elsewhere."""


def problems_in(plan: Plan, *promises: str, **settings: object) -> list[str]:
    """Judge a world of ranks, and hold what the default settings promise against it."""
    drawn = schedules(plan)
    records = judged_by_serinus(drawn, settings, seed=plan.seed, ranks=True)
    terms = terms_of({}, drawn, ranks=True)
    return [
        f"{name}, rank {rank}: {problem}\n  serinus simulate --ranks --seed {plan.seed}"
        f" --hours {plan.seconds / 3600:g} --engines {plan.engines} --trace"
        for rank, (schedule, record) in enumerate(zip(drawn, records, strict=True))
        for name in promises
        for problem in INVARIANTS[name](schedule, record, terms)
    ]


@pytest.mark.parametrize("busy", [False, True])
def test_a_rank_keeps_the_promises_of_an_endpoint_with_the_bound_of_a_round(busy: bool) -> None:
    """Whatever happens to the others."""
    for seed in range(WORLDS):
        plan = Plan(7000 + seed, seconds=SECONDS, engines=RANKS, faults=OF_A_RANK, busy=busy)
        found = problems_in(plan, *PROMISES)
        assert not found, "\n".join(found)


def test_ranks_together_cost_what_one_of_them_would_alone() -> None:
    """Canaries of four healthy ranks, beside those of the same four as engines of their own."""
    for seed in range(3):
        plan = Plan(seed, seconds=SECONDS, engines=RANKS, faults=(Fault.GARBAGE,))
        apart, together = (
            sum(
                record.canaries
                for record in judged_by_serinus(schedules(plan), {}, seed=seed, ranks=ranks)
            )
            for ranks in (False, True)
        )
        assert together <= apart / RANKS + RANKS


def test_ranks_that_are_asked_too_seldom_break_the_promise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The check can fail: turns three times as far apart are found out."""
    rules = Gathering.rules

    def seldom(self, address, plain, *, turns):  # type: ignore[no-untyped-def] # a stand-in
        found = rules(self, address, plain, turns=turns)
        return found._replace(ranks=found.ranks * 12)

    monkeypatch.setattr(Gathering, "rules", seldom)
    assert any(
        problems_in(
            Plan(seed, seconds=SECONDS, engines=RANKS, faults=tuple(STOPS)), "the_sick_are_seen"
        )
        for seed in range(4)
    )


def test_the_same_seed_gives_the_same_history_with_ranks() -> None:
    """Turns are part of it."""
    drawn = schedules(Plan(5, seconds=900, engines=RANKS))
    told = [
        [record.history for record in judged_by_serinus(drawn, {}, seed=5, trace=True, ranks=True)]
        for _ in range(2)
    ]
    assert told[0] == told[1]
