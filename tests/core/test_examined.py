"""Wrong answers in readiness and in the report: what is believed, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest

from serinus.core.address import EndpointAddress
from serinus.core.correctness import Correctness, Examined, Finding, Lesson, Mark, Wrong
from serinus.core.report import Report, as_json
from serinus.core.status import Reason
from serinus.core.system_health import EndpointHealth, SystemHealth
from tests.core.lives import RULES, life, passed

ADDRESS = EndpointAddress.parse("a.b.generate")
LESSON = Lesson(5, (1, 2, 3), (-0.5,) * 3, (2.0, 0.1, 2.0), 0.0123456)
RIGHT = Correctness.of([LESSON, LESSON])
FINDING = Finding(Wrong.TOKENS, "token 1 is 9, not 1")
WRONG = RIGHT._replace(wrong=FINDING)
COUNTS = dict.fromkeys(Mark, 2)


def examined(correctness: Correctness = RIGHT, **more: Any) -> Examined:
    """Return what is known of some answers."""
    return Examined("notready", correctness, 0.25, COUNTS, **more)


def endpoint(**more: Any) -> EndpointHealth:
    """Return an endpoint whose own verdict is good."""
    return EndpointHealth(ADDRESS, life(passed(4)), RULES, payload=True, **more)


def told(one: EndpointHealth) -> Any:
    """Return what the report says of it."""
    system = SystemHealth()
    readiness = system.readiness([one])
    liveness = system.liveness([one], readiness, now=10.0)
    report = Report(10.0, readiness, liveness, (one,), (), (), (), (), 0)
    shaped: Any = as_json(report, wall=str)
    return shaped["endpoints"]["a.b.generate"]


@pytest.mark.parametrize(
    ("known", "state", "words"),
    [
        (examined(), "right", ""),
        (examined(WRONG, trouble="x"), "wrong", "tokens: token 1 is 9, not 1"),
        (examined(trouble="HTTP 400"), "unknown", "HTTP 400"),
        (examined(RIGHT._replace(strikes=(0, 1))), "suspected", ""),
        (examined(Correctness.of([LESSON, Lesson(4)])), "learning", ""),
        (examined(WRONG._replace(strikes=(2, 2))), "wrong", "tokens: token 1 is 9, not 1"),
    ],
)
def test_what_is_known_is_said_in_a_word(known: Examined, state: str, words: str) -> None:
    """Wrong before all else."""
    assert (known.state, known.told) == (state, words)


def test_wrong_takes_it_out_where_the_policy_says_so() -> None:
    """For its own reason, which a failing check goes before, and a strict policy not."""
    assert endpoint(examined=examined(WRONG)).ready
    out = endpoint(examined=examined(WRONG), wrong=True, degraded=("wrong",), flaws=("x",))
    assert (out.ready, out.reason) == (False, Reason.WRONG)
    assert out._replace(strict=True).reason is Reason.WRONG
    assert out._replace(failing=("disk",)).reason is Reason.CHECK_FAILED
    assert not out.impaired


def test_the_report_tells_what_differed() -> None:
    """As the evidence, with the reason and what would change it."""
    one = told(endpoint(examined=examined(WRONG, since=4.0, heard_at=8.0, tokens=99), wrong=True))
    assert (one["status"], one["reason"]) == ("notready", "wrong")
    assert one["evidence"] == "tokens: token 1 is 9, not 1"
    assert one["verdict"] == "decided by the policy for wrong output"
    assert one["would_change"].startswith("right answers to the fixed prompts")
    assert one["decided_by"] == "owner"
    assert one["correctness"] == {
        "state": "wrong",
        "policy": "notready",
        "told": "tokens: token 1 is 9, not 1",
        "since": "4.0",
        "for_seconds": 6.0,
        "heard_seconds_ago": 2.0,
        "prompts": 2,
        "learned": 2,
        "reference": "learned",
        "tokens_known": 6,
        "tokens_compared": 4,
        "spread": 0.01235,
        "tolerance": 0.25,
        "answers": {"learned": 2, "right": 2, "wrong": 2, "unjudged": 2},
        "tokens_spent": 99,
    }


def test_the_report_tells_of_answers_that_are_right() -> None:
    """Without a since; and of a reference that was given."""
    one = told(endpoint(examined=examined(Correctness.of([LESSON], given=True))))
    assert one["reason"] == "canary"
    known = one["correctness"]
    assert (known["state"], known["since"], known["for_seconds"]) == ("right", None, None)
    assert (known["reference"], known["heard_seconds_ago"]) == ("given", None)
    assert told(endpoint(examined=examined(Correctness.of([]))))["correctness"]["spread"] == 0.0


def test_an_endpoint_that_is_not_examined_says_nothing_of_it() -> None:
    """The key is there for those that are."""
    assert "correctness" not in told(endpoint())


def test_another_reason_keeps_its_evidence() -> None:
    """What differed is told for the reason wrong alone."""
    one = endpoint(examined=examined(WRONG), wrong=True, failing=("disk",))
    assert told(one)["evidence"].startswith("canary: ")
    assert told(one)["verdict"] == "decided by checks that do not pass: disk"
