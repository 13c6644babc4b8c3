"""Objectives, the search, and the picture of what it found."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from functools import cache

import pytest

from serinus.errors import SettingsError
from serinus.replay import Case, case_of, replay
from serinus.replay.comparing import Column, judged, replays
from serinus.replay.kubelet import Probes
from serinus.replay.objective import Goal, Objective, Shortfall, read_objective
from serinus.replay.picture import drawn
from serinus.replay.search import GRID, Found, Trial, search
from tests.replay.stories import RULES, Engine, around, made


@cache
def cases() -> tuple[Case, ...]:
    """A hang and errors, and an engine that is slow to answer but well."""
    hang = made(Engine(hangs=[(53.0, 100.0)]), marks=around(53, 100), until=120)
    errors = made(Engine(errors=[(70.0, 90.0)]), marks=around(70, 90, "errors"), until=120)
    return case_of(hang, name="hang"), case_of(errors, name="errors")


@cache
def found(text: str, *, tries: int = 40, seed: int = 0) -> Found:
    """Search."""
    return search(cases(), read_objective(text), tries=tries, seed=seed)


def column(**rules: float) -> Column:
    """Judge the cases by other rules."""

    def judge(case: Case) -> tuple[object, ...]:
        return replays(case, rules=lambda was: was._replace(**rules), runs=2)  # type: ignore[arg-type]

    return judged("x", cases(), judge, Probes())  # type: ignore[arg-type]


def test_an_objective_is_limits_on_what_is_measured() -> None:
    """In seconds, with units, or in numbers."""
    assert read_objective("detect<=500ms,flaps=0, canaries_per_hour<=900").goals == (
        Goal("detect", 0.5),
        Goal("flaps", 0.0),
        Goal("canaries_per_hour", 900.0),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--objective '': accepted: MEASURE<=LIMIT or MEASURE=LIMIT, the measure being one of"),
        ("detect>=5", "--objective 'detect>=5': accepted"),
        ("speed<=5", "--objective 'speed<=5': accepted"),
        ("detect<=soon", "--objective detect: 'soon' is not accepted; accepted: seconds, such as"),
        ("flaps=-1", "--objective flaps: '-1' is not accepted; accepted: a number, not negative"),
    ],
)
def test_an_objective_that_cannot_be_read_is_named(text: str, message: str) -> None:
    """With what is accepted."""
    with pytest.raises(SettingsError) as error:
        read_objective(text)
    assert message in str(error.value)


def test_a_shortfall_is_how_far_off_it_is() -> None:
    """What was never seen is farther off than anything."""
    slow, blind = column(wait=20.0), column(wait=10.0, deadline=40.0)
    wanted = Objective((Goal("detect", 5.0), Goal("false_alarms", 0.0)))
    assert slow.worst is not None
    assert wanted.shortfall(slow) == Shortfall(0, (slow.worst - 5) / 5)
    assert wanted.shortfall(blind).never == 1
    assert wanted.missed(blind) == ["longest detection never, wanted at most 5 s"]
    assert wanted.met(column(wait=1.0, deadline=1.0))


def test_what_is_found_meets_the_objective_and_is_the_cheapest_that_was_tried() -> None:
    """And the values are of the grid."""
    result = found("detect<=6s, false_alarms=0")
    assert result.met
    best = result.best.column
    assert best.worst is not None
    assert best.worst <= 6
    meeting = [
        trial.column.canaries_per_hour
        for trial in result.trials
        if (trial.column.worst or 0) <= 6 and not trial.column.false_alarms
    ]
    assert best.canaries_per_hour <= min(meeting) * 1.06
    assert all(value in GRID[name] for name, value in result.best.values.items())
    assert len(result.trials) == 40
    assert result.complete


def test_the_same_seed_finds_the_same() -> None:
    """By the same trials."""
    wanted = read_objective("detect<=6s")
    first, again, other = (search(cases(), wanted, tries=25, seed=seed) for seed in (3, 3, 4))
    assert [one.values for one in first.trials] == [one.values for one in again.trials]
    assert first.best == again.best
    assert [one.values for one in first.trials] != [one.values for one in other.trials]


def test_what_cannot_be_had_says_what_is_closest() -> None:
    """By how much each goal is missed."""
    result = found("detect<=100ms, false_alarms=0")
    assert not result.met
    closest = min(
        trial.column.worst or 0.0 for trial in result.trials if not trial.column.false_alarms
    )
    assert result.best.column.worst == closest
    [missed] = read_objective("detect<=100ms, false_alarms=0").missed(result.best.column)
    assert missed == f"longest detection {closest:.3g} s, wanted at most 0.1 s"


def test_the_search_ends_when_it_is_told_to() -> None:
    """After one trial at the least."""
    result = search(cases(), read_objective("detect<=6s"), tries=50, over=lambda: True)
    assert len(result.trials) == 1
    assert not result.complete


def test_progress_is_told_of_every_trial() -> None:
    """With the best so far."""
    told: list[tuple[int, Trial]] = []
    result = search(
        cases(),
        read_objective("detect<=6s"),
        tries=12,
        progress=lambda count, best: told.append((count, best)),
    )
    assert [count for count, _ in told] == list(range(1, 13))
    assert told[-1][1] == result.best


def test_the_frontier_costs_more_the_sooner_it_detects() -> None:
    """Nothing that was tried without false alarms is better in both."""
    result = found("detect<=6s, false_alarms=0")
    front = [(one.column.canaries_per_hour, one.column.worst or 0.0) for one in result.frontier]
    assert len(front) >= 3
    assert front == sorted(front)
    assert [worst for _, worst in front] == sorted((worst for _, worst in front), reverse=True)
    for trial in result.trials:
        if not trial.column.false_alarms and math.isfinite(trial.column.worst or 0):
            cost, worst = trial.column.canaries_per_hour, trial.column.worst or 0.0
            assert any(cost >= a and worst >= b for a, b in front)


@pytest.mark.parametrize("wanted", ["detect<=6s, false_alarms=0", "detect<=100ms", "flaps=0"])
def test_the_picture_is_whole_and_says_what_it_shows(wanted: str) -> None:
    """Axes with units, the objective, what was chosen, and nothing outside of the picture."""
    result, objective = found(wanted), read_objective(wanted)
    text = drawn(result, objective, about="2 traces & <more>")
    picture = ET.fromstring(text)
    told = " ".join(picture.itertext())
    assert "canaries an hour" in told
    assert "longest detection, seconds" in told
    assert "2 traces & <more>" in told
    assert ("chosen: wait" in told) is result.met
    assert ("closest: wait" in told) is not result.met
    assert ("objective:" in told) is (objective.limit("detect") is not None)
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    for shape in picture.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(shape.attrib["cx"]) <= width
        assert 0 <= float(shape.attrib["cy"]) <= height


def test_a_column_is_the_mean_over_its_runs() -> None:
    """Counts are; delays are of all runs."""
    case = cases()[0]
    outcomes = replays(case, runs=4)
    assert len(outcomes) == 4
    assert len({outcome.turns for outcome in outcomes}) > 1
    one = judged("x", [case], lambda _case: outcomes, Probes())
    assert one.runs == 4
    assert len(one.delays) == 4
    assert one.seen == 1
    assert one.canaries == sum(outcome.canaries for outcome in outcomes) / 4
    assert one.canaries_per_hour == pytest.approx(one.canaries / (case.until / 3600))
    assert replay(case, RULES).canaries > 0
