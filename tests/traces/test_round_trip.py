"""What is recorded is what is read."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.evidence import Evidence, Load, Progress, Registered
from serinus.core.rules import Rules
from serinus.traces import Mark, Ruled, Session, read
from tests.traces.files import at, flat, head, lines, seen_in, written
from tests.traces.kinds import EVIDENCE, Target, whole

TARGETS = [Target("a.b.c"), Target("a check", canary=False), Target("ä.ö.ü")]


@given(st.lists(st.tuples(st.sampled_from(TARGETS), EVIDENCE), max_size=30))
@settings(deadline=None)
def test_any_evidence_comes_back_as_it_was(told: list[tuple[Target, Evidence]]) -> None:
    """Of any kind, with any values, in the order in which it was folded."""
    with tempfile.TemporaryDirectory() as folder:
        trace = read(at(Path(folder), written(*told)))
    met: set[str] = set()
    recovered = []
    for name, evidence in seen_in(trace):
        begins = isinstance(evidence, Registered) and name not in met
        met.add(name)
        recovered.append((name, evidence, begins))
    expected = flat(told)
    first = dict(reversed(expected))
    shown = [(name, evidence) for name, evidence, _ in recovered]
    if shown != expected:  # a life whose beginning is not in the trace gets one
        assert [one for one in shown if one in expected or not isinstance(one[1], Registered)]
        without = [
            (name, evidence)
            for (name, evidence, begins) in recovered
            if not begins or first[name] == evidence
        ]
        assert without == expected
    assert not trace.damages
    assert not trace.skipped


@given(whole(Rules))
@settings(deadline=None)
def test_any_rules_come_back_as_they_were(rules: Rules) -> None:
    """They are what a replay compares with."""
    with tempfile.TemporaryDirectory() as folder:
        told = written((Target(rules=rules), Registered(1.0, canary=True)))
        trace = read(at(Path(folder), told))
    assert [one for one in trace.entries if isinstance(one, Ruled)] == [Ruled(1.0, "n.c.e", rules)]


def test_sessions_stand_on_one_line_of_time(tmp_path: Path) -> None:
    """By the wall's clock at their beginnings; marks from outside too."""
    first = written((Target(), Registered(0.0, canary=True)), session="a", wall=1000.0)
    second = written((Target(), Registered(0.5, canary=True)), session="b", wall=1060.0)
    marks = lines(["w", 1062.0, "outside"], ["m", 3.0, "inside"])
    trace = read(at(tmp_path, first + second + marks))
    assert [one.at for one in trace.entries if isinstance(one, Session)] == [0.0, 60.0]
    assert [evidence.at for _, evidence in seen_in(trace)] == [0.0, 60.5]
    assert trace.marks == (Mark(62.0, "outside"), Mark(63.0, "inside"))
    assert trace.began == 1000.0


def test_a_life_whose_beginning_was_put_away_begins_where_it_is_first_seen(tmp_path: Path) -> None:
    """Otherwise nobody could judge it."""
    trace = read(
        at(
            tmp_path,
            written((Target(), Progress(70.0)), (Target("o", canary=False), Load(71.0, 1))),
        )
    )
    assert seen_in(trace) == [
        ("n.c.e", Registered(70.0, canary=True)),
        ("n.c.e", Progress(70.0)),
        ("o", Registered(71.0, canary=False)),
        ("o", Load(71.0, 1)),
    ]


def test_a_trace_says_whether_it_was_finished(tmp_path: Path) -> None:
    """A killed process writes no end."""
    assert not read(at(tmp_path, head())).finished
    assert read(at(tmp_path, head() + lines(["e", 5.0]))).finished
