"""Simulated engines whose answers are examined: garbage is found, no promise is broken by it."""

from __future__ import annotations

import pytest

from serinus.simulation.faults import HARMLESS, Fault
from serinus.simulation.judging import judge_world
from serinus.simulation.score import Score
from serinus.simulation.world import Plan

EXAMINED = {"correctness_policy": "degrade", "correctness_interval": 60.0}
FAULTS = tuple(fault for fault in Fault if fault is Fault.GARBAGE or fault in HARMLESS)


@pytest.mark.parametrize("seed", [1, 2])
def test_garbage_is_seen_and_nobody_is_accused(seed: int) -> None:
    """Most of it: who is never idle is never asked."""
    score = Score("serinus")
    plan = Plan(seed, seconds=3600.0, engines=6, faults=FAULTS)
    _, broken = judge_world(plan, EXAMINED, {"serinus": score})
    delays = score.delays[Fault.GARBAGE]
    assert sum(delay < 200 for delay in delays) > len(delays) / 2
    assert score.false_alarms == 0
    assert not broken


def test_promises_hold_while_answers_are_examined() -> None:
    """Every fault is seen within its bound, and there is never a second canary in flight."""
    score = Score("serinus")
    plan = Plan(3, seconds=3600.0, engines=6)
    _, broken = judge_world(plan, EXAMINED, {"serinus": score})
    assert not broken
    assert score.false_alarms == 0
