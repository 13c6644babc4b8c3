"""The report's shape on the wire: stable keys, plain values, ages instead of times."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serinus.core.address import EndpointAddress
from serinus.core.budget import Purse, Spending
from serinus.core.deadlines import Learned
from serinus.core.evidence import Blinded, Evidence, Heard, Progress, Tick
from serinus.core.group import Group, GroupHealth, Kind, Member
from serinus.core.history import Transition
from serinus.core.own_state import Outage, OwnState
from serinus.core.report import CheckReport, LeaseReport, Report, as_bytes, as_json
from serinus.core.status import HealthStatus, LiveReason, Reason, Rule
from serinus.core.system_health import EndpointHealth, Hold, Liveness, Readiness
from tests.core.lives import AT_ONCE, RULES, busy, failed, life, passed


def wall(at: float) -> str:
    """Return a wall clock that is easy to read in a test."""
    return f"wall {at:g}"


def health(
    *seen: Evidence, name: str = "generate", failing: tuple[str, ...] = ()
) -> EndpointHealth:
    """An endpoint that counts one failure as enough."""
    address = EndpointAddress("n", "backend", name)
    return EndpointHealth(address, life(*seen, rules=AT_ONCE), RULES, payload=True, failing=failing)


def report(*endpoints: EndpointHealth, at: float = 100.0) -> Report:
    """A report of these endpoints, with one of everything else."""
    return Report(
        at=at,
        readiness=Readiness(HealthStatus.NOTREADY, Rule.HOLD, "hold: warming up", ("a", "b")),
        liveness=Liveness(live=True, reason=LiveReason.LIVE),
        endpoints=endpoints,
        checks=(CheckReport("disk", "process", life(passed(98))),),
        holds=(Hold("warming up", 40.0),),
        leases=(LeaseReport("weights", 160.50049, "n.backend.generate", "file"),),
        history=(Transition(14.0, "n.backend.generate", "ready", "notready", "stalled", "x"),),
        forgotten=3,
        lease_file="/run/leases",
    )


def told(*seen: Evidence, failing: tuple[str, ...] = (), at: float = 100.0) -> dict[str, Any]:
    """What the JSON says of one endpoint."""
    shaped: Any = as_json(report(health(*seen, failing=failing), at=at), wall=wall)
    only: dict[str, Any] = shaped["endpoints"]["n.backend.generate"]
    return only


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_what_is_sent_is_that_shape_in_one_line(number: int) -> None:
    """Written piece by piece, it is the same JSON, in the same order, with nothing between."""
    endpoints = [health(passed(1), failed(14), name=f"g{n}") for n in range(number)]
    shaped = as_json(report(*endpoints), wall=wall, most=3)
    sent = as_bytes(report(*endpoints), wall=wall, most=3)
    assert sent == json.dumps(shaped, separators=(",", ":")).encode()


def test_the_whole_report_in_json() -> None:
    """The exact shape, key order included, that docs/json.md promises."""
    shaped = as_json(report(health(passed(1), Progress(2.5), failed(14))), wall=wall)
    assert json.loads(json.dumps(shaped)) == shaped
    assert list(shaped) == [
        "readiness",
        "liveness",
        "endpoints",
        "groups",
        "degraded",
        "endpoints_left_out",
        "checks",
        "holds",
        "leases",
        "lease_file",
        "fleet",
        "self",
        "history",
        "history_forgotten",
    ]
    assert shaped["readiness"] == {
        "status": "notready",
        "rule": "hold",
        "why": "hold: warming up",
        "blocking": ["a", "b"],
    }
    assert shaped["liveness"] == {"live": True, "reason": "live", "why": ""}
    assert shaped["holds"] == [{"why": "warming up", "since": "wall 40", "for_seconds": 60.0}]
    assert shaped["leases"] == [
        {"why": "weights", "left_seconds": 60.5, "endpoint": "n.backend.generate", "by": "file"}
    ]
    assert shaped["lease_file"] == "/run/leases"
    assert shaped["history_forgotten"] == 3
    assert shaped["history"] == [
        {
            "at": "wall 14",
            "subject": "n.backend.generate",
            "before": "ready",
            "after": "notready",
            "reason": "stalled",
            "detail": "x",
        }
    ]


def test_of_many_endpoints_those_in_trouble_are_told_of() -> None:
    """A report has a bound, and what it leaves out is ready and counted."""
    well = [health(passed(1), name=f"a{number}") for number in range(5)]
    ill = health(passed(1), failed(2), name="z")
    shaped: Any = as_json(report(*well, ill), wall=wall, most=3)
    assert list(shaped["endpoints"]) == ["n.backend.a0", "n.backend.a1", "n.backend.z"]
    assert shaped["endpoints_left_out"] == 3


def test_an_endpoint_in_json() -> None:
    """The rule, the evidence, since when, and what would change it."""
    one = told(passed(1), Progress(2.5), failed(14))
    assert one == {
        "status": "notready",
        "reason": "canary_timeout",
        "since": "wall 14",
        "for_seconds": 86.0,
        "evidence": "canary failed: timeout after 1.000 s",
        "would_change": "a canary that brings a token, or one good chunk of real traffic",
        "suspected": False,
        "failures": 1,
        "last_fault": "canary failed: timeout after 1.000 s",
        "proven_seconds_ago": 97.5,
        "progress_seconds_ago": 97.5,
        "asked_seconds_ago": 86.0,
        "in_flight": None,
        "canary_faults": 0,
        "verdict": "decided by canary 86.0 s ago",
        "decided_by": "canary",
        "disagree": [],
        "witnesses": {
            "canary": {
                "says": "not well",
                "seconds_ago": 86.0,
                "weight": 0.5,
                "word": "canary failed: timeout after 1.000 s",
            },
            "traffic": {
                "says": "well",
                "seconds_ago": 97.5,
                "weight": 0.133,
                "word": "progress seen by traffic",
            },
        },
        "failing_checks": [],
        "degraded": [],
        "flaws": {},
        "cost": {"canaries": 2, "tokens": 2, "wait": 10, "budgets": {}, "exhausted": False},
    }


def test_who_disagrees_is_named() -> None:
    """By the witness's name; a ready endpoint without failing checks is decided by its proof."""
    ill = told(passed(1), Heard(98.00051, well=False, detail="503"), passed(99))
    assert (ill["decided_by"], ill["disagree"]) == ("canary", ["own health"])
    assert ill["witnesses"]["own health"]["seconds_ago"] == 1.999


def test_a_failing_check_is_the_owners_word() -> None:
    """The witnesses say that it serves; the owner has said that more is needed."""
    one = told(passed(1), failing=("disk", "license"))
    assert (one["decided_by"], one["disagree"]) == ("owner", [])
    assert list(one) == list(told(passed(1)))
    assert one["verdict"] == "decided by checks that do not pass: disk, license"


def test_what_is_off_while_it_serves_has_its_numbers() -> None:
    """Each word with what it comes to, and as many words of all as there is room for."""
    off = health(passed(1))._replace(
        degraded=("slow_tokens", "wrong_output"), flaws=("0.9 s for 0.1 s", "NaN")
    )
    ill: Any = as_json(report(off, off), wall=wall, most=3)
    assert ill["endpoints"]["n.backend.generate"]["flaws"] == {
        "slow_tokens": "0.9 s for 0.1 s",
        "wrong_output": "NaN",
    }
    assert len(ill["degraded"]) == 3


def test_the_policy_for_degraded_endpoints_is_the_owners_word() -> None:
    """They serve; the owner has said that this is not enough."""
    off = health(passed(1))._replace(degraded=("slow_tokens", "wrong_output"), strict=True)
    shaped: Any = as_json(report(off), wall=wall)
    one = shaped["endpoints"]["n.backend.generate"]
    told_by = "decided by the policy for degraded endpoints: slow_tokens, wrong_output"
    assert (one["decided_by"], one["verdict"]) == ("owner", told_by)


def test_what_is_known_of_ourselves_in_json() -> None:
    """Is it me: nothing, where there was no trouble."""
    shaped: Any = as_json(report(), wall=wall)
    assert shaped["self"] == {
        "loop_late_seconds": 0.0,
        "loop_lost_seconds": 0.0,
        "suspensions": 0,
        "suspended_seconds": 0.0,
        "excused": 0,
        "last_trouble": None,
        "last_trouble_seconds_ago": None,
        "lost_at_once": None,
        "lost_since": None,
    }


def test_trouble_of_our_own_in_json() -> None:
    """With its age, and since when all engines are silent."""
    own = OwnState(
        loop_late=0.12345,
        loop_lost=7.65432,
        suspensions=2,
        suspended=61.23449,
        excused=3,
        trouble=Blinded(90.0, 87.5, "late"),
        outage=Outage(88.0, 4),
    )
    shaped: Any = as_json(report()._replace(own=own), wall=wall)
    assert shaped["self"] == {
        "loop_late_seconds": 0.123,
        "loop_lost_seconds": 7.654,
        "suspensions": 2,
        "suspended_seconds": 61.234,
        "excused": 3,
        "last_trouble": "trouble of our own for 2.5 s: late",
        "last_trouble_seconds_ago": 10.0,
        "lost_at_once": "all 4 engines were lost at once",
        "lost_since": "wall 88",
    }


@pytest.mark.parametrize("evidence", [(), (passed(1),), (passed(1), failed(2), busy(3))])
def test_the_keys_and_their_order_are_always_the_same(evidence: tuple[Evidence, ...]) -> None:
    """A reader can rely on each of them."""
    assert list(told(*evidence)) == list(told())


def test_what_was_never_seen_is_null() -> None:
    """Not zero, and not left out."""
    new = told()
    for key in ("proven_seconds_ago", "progress_seconds_ago", "asked_seconds_ago"):
        assert new[key] is None
    assert (new["last_fault"], new["in_flight"]) == (None, None)


def test_a_stall_says_how_long_nothing_moved() -> None:
    """Seconds by the moment of the report, and not of the verdict."""
    assert told(passed(1), busy(2, 3), Tick(62))["evidence"] == (
        "3 in flight, nothing moved for 98 s"
    )


def test_a_failing_check_of_an_endpoint_shows_in_its_status() -> None:
    """Its verdict is good, and it is not ready."""
    one = told(passed(1), failing=("lora",))
    assert (one["status"], one["reason"]) == ("notready", "check_failed")
    assert one["would_change"] == "the custom check passing"
    assert one["failing_checks"] == ["lora"]


def test_a_failing_check_does_not_hide_what_is_worse() -> None:
    """The verdict's own reason stays."""
    one = told(passed(1), failed(14), failing=("lora",))
    assert (one["reason"], one["failing_checks"]) == ("canary_timeout", ["lora"])


def test_checks_are_named_by_whom_they_belong_to() -> None:
    """Of the process, or of an endpoint."""
    shaped: Any = as_json(report(), wall=wall)
    assert list(shaped["checks"]) == ["process: disk"]
    assert shaped["checks"]["process: disk"]["status"] == "ready"


def test_an_age_is_never_negative() -> None:
    """Evidence may be a moment younger than the report."""
    assert told(passed(101), at=100.0)["proven_seconds_ago"] == 0.0


def test_notes_are_shown_with_their_endpoint_and_nowhere_else() -> None:
    """What is known beside the evidence is for people; without notes there is no key."""
    address = "n.backend.generate"
    noted = report(health(passed(1)), health(name="other"))._replace(
        notes={address: {"model": "tiny"}}
    )
    shaped: Any = as_json(noted, wall=wall)
    assert shaped["endpoints"][address]["notes"] == {"model": "tiny"}
    assert "notes" not in shaped["endpoints"]["n.backend.other"]


def test_a_budget_says_what_is_left_of_it() -> None:
    """And the wait that it makes; that nothing more can be paid for is said."""
    rules = RULES._replace(budget=1000, token_budget=5000)
    spent = Spending(60, 90, Purse(50, 0, 100.0), Purse(0, 0, 100.0))
    one = health(passed(1))._replace(rules=rules)
    some = one._replace(standing=one.standing._replace(spent=spent))
    shaped: Any = as_json(report(some), wall=wall)
    assert shaped["endpoints"]["n.backend.generate"]["cost"] == {
        "canaries": 60,
        "tokens": 90,
        "wait": 66.714,
        "budgets": {
            "canaries": {"a_day": 1000, "left": 0.5},
            "tokens": {"a_day": 5000, "left": 1.0},
        },
        "exhausted": False,
    }
    broke = spent._replace(of_canaries=Purse(101, 101, 100.0))
    none = one._replace(standing=one.standing._replace(spent=broke))
    shaped = as_json(report(none), wall=wall)
    assert shaped["endpoints"]["n.backend.generate"]["cost"]["exhausted"] is True


def test_a_group_in_json() -> None:
    """Whose word it is, how many are asked for, and what of each member; those away come first."""
    members = (
        Member("rank 0", health(passed(1), name="r0"), rank=0),
        Member("rank 1", health(passed(1), failed(14), name="r1"), rank=1),
    )
    address = EndpointAddress("n", "backend", "all")
    group = GroupHealth(Group.of(address, Kind.DATA_PARALLEL, "all"), members)
    whole = report(health(passed(1)))._replace(
        groups=(group,), notes={"n.backend.all": {"ranks": "found on the page"}}
    )
    shaped: Any = as_json(whole, wall=wall)
    assert list(shaped["groups"]) == ["n.backend.all"]
    rank = {"endpoint": "n.backend.r1", "status": "notready", "reason": "canary_timeout"}
    well = {"endpoint": "n.backend.r0", "status": "ready", "reason": "canary"}
    assert shaped["groups"]["n.backend.all"] == {
        "status": "notready",
        "reason": "canary_timeout",
        "since": "wall 14",
        "for_seconds": 86.0,
        "kind": "data-parallel",
        "policy": "all",
        "why": group.why(100.0),
        "would_change": Reason.CANARY_TIMEOUT.remedy,
        "ready": 1,
        "needed": 2,
        "size": 2,
        "lacking": [],
        "degraded": [],
        "flaws": {},
        "members": {
            "rank 1": {**rank, "since": "wall 14", "for_seconds": 86.0, "role": "", "rank": 1},
            "rank 0": {**well, "since": "wall 1", "for_seconds": 99.0, "role": "", "rank": 0},
        },
        "notes": {"ranks": "found on the page"},
    }
    assert list(shaped["groups"]["n.backend.all"]["members"]) == ["rank 1", "rank 0"]
    only: Any = as_json(whole, wall=wall, most=1)
    assert list(only["groups"]["n.backend.all"]["members"]) == ["rank 1"]
    alone: Any = as_json(whole._replace(notes={}), wall=wall)
    assert "notes" not in alone["groups"]["n.backend.all"]


def test_a_pair_names_the_role_that_it_lacks_and_what_is_off_of_the_other() -> None:
    """Nobody decodes."""
    slow = health(passed(1), name="p")._replace(
        degraded=("slow_first_token",), flaws=("0.5 s, usually 0.1 s",)
    )
    address = EndpointAddress("n", "backend", "pair")
    pair = GroupHealth(
        Group.of(address, Kind.PREFILL_DECODE), (Member("prefill 0", slow, "prefill"),)
    )
    shaped: Any = as_json(report()._replace(groups=(pair,)), wall=wall)
    told = shaped["groups"]["n.backend.pair"]
    assert told["lacking"] == ["decode"]
    assert told["degraded"] == list(pair.degraded)
    assert told["flaws"] == dict(zip(pair.degraded, pair.flaws, strict=True))
    assert told["members"]["prefill 0"]["role"] == "prefill"


def test_what_it_is_judged_by_in_json() -> None:
    """The budgets of now, those of the settings, and what was learned; all in seconds."""
    learned = Learned(on_top=0.123456)
    for _ in range(3):
        learned = learned._replace(canaries=learned.canaries.after(0.25))
    rules = RULES._replace(deadline=0.512345, doubt=1.234567, on_top=2.345678)
    tuned = health(passed(1))._replace(configured=RULES, rules=rules, learned=learned)
    shaped: Any = as_json(report(tuned), wall=wall)
    assert shaped["endpoints"]["n.backend.generate"]["deadlines"] == {
        "canary": {
            "now": 0.5123,
            "configured": 3,
            "samples": 3,
            "typical": 0.25,
            "longest": 0.25,
        },
        "silence": {
            "now": 1.2346,
            "configured": 60,
            "samples": 0,
            "typical": None,
            "longest": None,
        },
        "on_top": {"now": 2.3457, "longest": 0.1235},
    }
    plain: Any = as_json(report(tuned._replace(rules=RULES)), wall=wall)
    deadlines = plain["endpoints"]["n.backend.generate"]["deadlines"]
    assert (deadlines["silence"]["now"], deadlines["on_top"]["now"]) == (60, 3)
