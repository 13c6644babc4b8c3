"""Judges over worlds, one world after the other: their scores, and what broke a promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from serinus.runtime.board import rules_of
from serinus.settings import Settings
from serinus.simulation.invariants import Terms, broken
from serinus.simulation.own_health import judged_by_poll
from serinus.simulation.record import Record
from serinus.simulation.reference import judged_by_reference
from serinus.simulation.schedule import Schedule
from serinus.simulation.score import Score
from serinus.simulation.world import Plan, asleep_in, judged_by_serinus, schedules

__all__ = ["JUDGES", "Broken", "judge_world", "terms_of", "with_seed"]

SERINUS, REFERENCE, HEALTH = JUDGES = ("serinus", "reference", "health")


class Broken(NamedTuple):
    """A promise that was broken, in which world, and to which of its engines."""

    seed: int
    engine: int
    problem: str


def terms_of(
    settings: Mapping[str, Any], drawn: Sequence[Schedule], *, ranks: bool = False
) -> Terms:
    """Return what these settings promise of these schedules; `ranks`: they are those of one."""
    chosen = Settings(**settings)
    rules = rules_of(chosen)
    if ranks and chosen.rank_canaries == "rotate":
        rules = rules._replace(ranks=len(drawn))
    return Terms(rules, chosen.canary_cancel_grace, asleep_in(drawn))


def judge_world(
    plan: Plan, settings: Mapping[str, Any], scores: Mapping[str, Score], *, trace: bool = False
) -> tuple[list[Record], list[Broken]]:
    """Let the judges that are among `scores` judge one world, and add up what they said.

    The reference has the wait and the deadline of `settings`. Returns Serinus' records, with
    histories if `trace`, and the promises that it broke.
    """
    drawn = schedules(plan)
    terms = terms_of(settings, drawn, ranks=plan.ranks)
    records: list[Record] = []
    problems: list[Broken] = []
    if (score := scores.get(SERINUS)) is not None:
        said = judged_by_serinus(drawn, settings, seed=plan.seed, trace=trace, ranks=plan.ranks)
        records = list(said)
        for number, (schedule, record) in enumerate(zip(drawn, records, strict=True)):
            score.add(schedule, record)
            problems += [Broken(plan.seed, number, p) for p in broken(schedule, record, terms)]
    for schedule in drawn:
        if (score := scores.get(REFERENCE)) is not None:
            wait, timeout = terms.rules.wait, terms.rules.deadline
            theirs = judged_by_reference(
                schedule, wait=wait, timeout=timeout, asleep=asleep_in(drawn), trace=trace
            )
            score.add(schedule, theirs)
        if (score := scores.get(HEALTH)) is not None:
            score.add(schedule, judged_by_poll(schedule))
    return records, problems


def with_seed(plan: Plan, seed: int) -> Plan:
    """Return the plan of another world."""
    return replace(plan, seed=seed)
