"""The report: everything that is believed at one moment, for people and machines.

`as_json(...)` is its shape on the wire (docs/json.md), `as_bytes(...)` what is sent. Times leave as
ages in seconds and as text of the wall clock that the caller gives.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from serinus.core.budget import Spending, affordable_at, stretched
from serinus.core.correctness import Examined
from serinus.core.deadlines import Learned, Spread
from serinus.core.evidence import Witness
from serinus.core.group import GroupHealth
from serinus.core.hearing import Hearing, heard
from serinus.core.history import Transition
from serinus.core.own_state import OwnState
from serinus.core.rules import Rules
from serinus.core.status import Reason
from serinus.core.system_health import EndpointHealth, Hold, Liveness, Readiness
from serinus.core.verdict import Standing

__all__ = ["MOST", "CheckReport", "LeaseReport", "Report", "as_bytes", "as_json", "told_of"]

Json: TypeAlias = "Mapping[str, Json] | list[Json] | str | float | int | bool | None"


class CheckReport(NamedTuple):
    """A custom check of the process or of an endpoint (`owner`)."""

    name: str
    owner: str
    standing: Standing


class LeaseReport(NamedTuple):
    """A planned pause that is running. `endpoint` is empty where it is for the whole process."""

    why: str
    until: float
    endpoint: str = ""
    by: str = "owner"
    """Who took it."""


class Report(NamedTuple):
    """The snapshot. Times are monotonic seconds of the caller's clock."""

    at: float
    readiness: Readiness
    liveness: Liveness
    endpoints: tuple[EndpointHealth, ...]
    checks: tuple[CheckReport, ...]
    holds: tuple[Hold, ...]
    leases: tuple[LeaseReport, ...]
    history: tuple[Transition, ...]
    forgotten: int
    """Transitions older than the history's size."""
    notes: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    """By address, what is known of an endpoint beside the evidence: for people."""
    own: OwnState = OwnState()
    """What is known of ourselves."""
    groups: tuple[GroupHealth, ...] = ()
    """Their members are among the endpoints."""
    lease_file: str | None = None
    """Where leases can be written, for who takes one from outside."""
    fleet: Mapping[str, Json] = MappingProxyType({})
    """What is known of discovery, the request plane and turns to restart; empty where it is off."""


MOST = 256
"""Endpoints in the JSON of one report, so that its cost has a bound."""


def as_json(report: Report, *, wall: Callable[[float], str], most: int = MOST) -> dict[str, Json]:
    """Shape a report for JSON; `wall` turns a monotonic time into text (ISO 8601).

    At most `most` endpoints are told of, those that are not ready before the others.
    """
    return _shape(report, wall, most, dict(_endpoints(report, wall, most)))


def as_bytes(report: Report, *, wall: Callable[[float], str], most: int = MOST) -> bytes:
    """Write a report as JSON in one line, shaped as by `as_json`.

    It is written endpoint by endpoint: all of them at once would take ten times the memory.
    """
    return b"".join(_pieces(report, wall, most))


def _pieces(report: Report, wall: Callable[[float], str], most: int) -> Iterator[bytes]:
    mark = b"{"
    for key, value in _shape(report, wall, most, {}).items():
        yield b"%b%b:" % (mark, _dumps(key))
        mark = b","
        if key != "endpoints":
            yield _dumps(value)
            continue
        inner = b"{"
        for address, told in _endpoints(report, wall, most):
            yield b"%b%b:%b" % (inner, _dumps(address), _dumps(told))
            inner = b","
        yield b"{}" if inner == b"{" else b"}"
    yield b"}"


def _dumps(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _endpoints(
    report: Report, wall: Callable[[float], str], most: int
) -> Iterator[tuple[str, dict[str, Json]]]:
    shown = sorted(report.endpoints, key=lambda endpoint: endpoint.ready)[:most]
    for endpoint in sorted(shown, key=lambda endpoint: endpoint.address):
        yield str(endpoint.address), _endpoint(endpoint, report, wall)


def _shape(
    report: Report, wall: Callable[[float], str], most: int, endpoints: Mapping[str, Json]
) -> dict[str, Json]:
    readiness, liveness = report.readiness, report.liveness
    return {
        "readiness": {
            "status": str(readiness.status),
            "rule": str(readiness.rule),
            "why": readiness.why,
            "blocking": list(readiness.blocking[:most]),
        },
        "liveness": {"live": liveness.live, "reason": str(liveness.reason), "why": liveness.why},
        "endpoints": endpoints,
        "groups": {
            str(group.address): _group(group, report, wall, most) for group in report.groups[:most]
        },
        "degraded": list(_degraded(report, most)),
        "endpoints_left_out": max(len(report.endpoints) - most, 0),
        "checks": {
            f"{check.owner}: {check.name}": _standing(check.standing, report.at, wall)
            for check in report.checks
        },
        "holds": [
            {"why": hold.why, "since": wall(hold.since), "for_seconds": _age(report.at, hold.since)}
            for hold in report.holds
        ],
        "leases": [
            {
                "why": lease.why,
                "left_seconds": round(lease.until - report.at, 3),
                "endpoint": lease.endpoint,
                "by": lease.by,
            }
            for lease in report.leases
        ],
        "lease_file": report.lease_file,
        "fleet": dict(report.fleet),
        "self": _own(report.own, report.at, wall),
        "history": [
            {
                "at": wall(transition.at),
                "subject": transition.subject,
                "before": transition.before,
                "after": transition.after,
                "reason": transition.reason,
                "detail": transition.detail,
            }
            for transition in report.history
        ],
        "history_forgotten": report.forgotten,
    }


def _endpoint(
    endpoint: EndpointHealth, report: Report, wall: Callable[[float], str]
) -> dict[str, Json]:
    told = _standing(endpoint.standing, report.at, wall)
    told.update(_heard(heard(endpoint.standing, endpoint.rules, now=report.at)))
    told["failing_checks"] = list(endpoint.failing)
    told["degraded"] = list(endpoint.degraded)
    told["flaws"] = dict(zip(endpoint.degraded, endpoint.flaws, strict=False))
    if endpoint.examined is not None:
        told["correctness"] = _examined(endpoint.examined, report.at, wall)
    told["cost"] = _cost(endpoint.standing.spent, endpoint.rules, report.at)
    if endpoint.configured is not None:
        told["deadlines"] = _deadlines(endpoint.configured, endpoint.rules, endpoint.learned)
    if endpoint.standing.verdict.ready and not endpoint.ready:
        told["status"], told["reason"] = str(endpoint.status), str(endpoint.reason)
        told["would_change"] = endpoint.reason.remedy
        if endpoint.reason is Reason.WRONG and endpoint.examined is not None:
            told["evidence"] = endpoint.examined.told
        told["decided_by"] = str(Witness.OWNER)
        told["disagree"] = []
        told["verdict"] = f"decided by {_beside(endpoint)}"
    if notes := report.notes.get(str(endpoint.address)):
        told["notes"] = dict(notes)
    return told


def _examined(examined: Examined, at: float, wall: Callable[[float], str]) -> dict[str, Json]:
    """Tell whether its answers are right, what was wrong, and what they are compared with."""
    known, since = examined.correctness, examined.since
    lessons = known.lessons
    return {
        "state": examined.state,
        "policy": examined.policy,
        "told": examined.told,
        "since": None if since is None else wall(since),
        "for_seconds": None if since is None else _age(at, since),
        "heard_seconds_ago": _maybe_age(at, examined.heard_at),
        "prompts": len(lessons),
        "learned": sum(lesson.learned for lesson in lessons),
        "reference": "given" if known.given else "learned",
        "tokens_known": sum(len(lesson.tokens) for lesson in lessons),
        "tokens_compared": known.sure(examined.tolerance),
        "spread": round(max((lesson.spread for lesson in lessons), default=0.0), 5),
        "tolerance": examined.tolerance,
        "answers": {str(mark): count for mark, count in examined.answers.items()},
        "tokens_spent": examined.tokens,
    }


def _cost(spent: Spending, rules: Rules, at: float) -> dict[str, Json]:
    """Tell what canaries have cost, and what is left of the budgets that there are."""
    budgets = (
        ("canaries", rules.budget, spent.of_canaries),
        ("tokens", rules.token_budget, spent.of_tokens),
    )
    return {
        "canaries": spent.canaries,
        "tokens": spent.tokens,
        "wait": round(stretched(spent, rules, now=at), 3),
        "budgets": {
            name: {"a_day": budget, "left": round(1 - purse.emptiness(budget, at), 4)}
            for name, budget, purse in budgets
            if budget
        },
        "exhausted": affordable_at(spent, rules, urgent=True) > at,
    }


def _deadlines(configured: Rules, rules: Rules, learned: Learned) -> dict[str, Json]:
    """Tell what is judged by, what the settings say, and what was seen; all in seconds."""
    return {
        "canary": {
            "now": round(rules.deadline, 4),
            "configured": configured.deadline,
            **_spread(learned.canaries),
        },
        "silence": {
            "now": round(rules.doubt or rules.stall, 4),
            "configured": configured.stall,
            **_spread(learned.gaps),
        },
        "on_top": {
            "now": round(rules.on_top or rules.deadline, 4),
            "longest": round(learned.on_top, 4),
        },
    }


def _spread(times: Spread) -> dict[str, Json]:
    if not times.samples:
        return {"samples": 0, "typical": None, "longest": None}
    return {
        "samples": times.samples,
        "typical": round(times.typical, 4),
        "longest": round(times.longest, 4),
    }


def _degraded(report: Report, most: int) -> Iterator[str]:
    inside = {member.health.address for group in report.groups for member in group.members}
    alone = (endpoint for endpoint in report.endpoints if endpoint.address not in inside)
    judged: list[EndpointHealth | GroupHealth] = [*alone, *report.groups]
    return islice((f"{one.address}: {word}" for one in judged for word in one.degraded), most)


def _group(
    group: GroupHealth, report: Report, wall: Callable[[float], str], most: int
) -> dict[str, Json]:
    """Tell how many members are ready, how many are asked for, and what of the others."""
    at, since = report.at, group.since
    told: dict[str, Json] = {
        "status": str(group.status),
        "reason": str(group.reason),
        "since": None if since is None else wall(since),
        "for_seconds": _maybe_age(at, since),
        "kind": str(group.group.kind),
        "policy": str(group.group.policy),
        "why": group.why(at),
        "would_change": group.reason.remedy,
        "ready": sum(side.ready for side in group.sides),
        "needed": sum(side.needed for side in group.sides),
        "size": len(group.members),
        "lacking": [role for role in group.lacking if role],
        "degraded": list(group.degraded),
        "flaws": dict(zip(group.degraded, group.flaws, strict=False)),
        "members": {
            member.name: {
                "endpoint": str(member.health.address),
                "status": str(member.health.status),
                "reason": str(member.health.reason),
                "since": wall(member.health.standing.verdict.since),
                "for_seconds": _age(at, member.health.standing.verdict.since),
                "role": member.role,
                "rank": member.rank,
            }
            for member in sorted(group.members, key=lambda one: one.health.ready)[:most]
        },
    }
    if notes := report.notes.get(str(group.address)):
        told["notes"] = dict(notes)
    return told


def _beside(endpoint: EndpointHealth) -> str:
    """Say what turned an endpoint whose own verdict is good."""
    if endpoint.failing:
        return f"checks that do not pass: {', '.join(endpoint.failing)}"
    if endpoint.wrong:
        return "the policy for wrong output"
    return f"the policy for degraded endpoints: {', '.join(endpoint.degraded)}"


def _heard(hearing: Hearing) -> dict[str, Json]:
    return {
        "verdict": str(hearing),
        "decided_by": str(hearing.decided.witness),
        "disagree": [str(one.witness) for one in hearing.disagree],
        "witnesses": {
            str(one.witness): {
                "says": str(one.says),
                "seconds_ago": _age(hearing.at, one.at),
                "weight": round(one.weight, 3),
                "word": one.detail,
            }
            for one in hearing.testimonies
        },
    }


def _own(own: OwnState, at: float, wall: Callable[[float], str]) -> dict[str, Json]:
    trouble, outage = own.trouble, own.outage
    return {
        "loop_late_seconds": round(own.loop_late, 3),
        "loop_lost_seconds": round(own.loop_lost, 3),
        "suspensions": own.suspensions,
        "suspended_seconds": round(own.suspended, 3),
        "excused": own.excused,
        "last_trouble": None if trouble is None else str(trouble),
        "last_trouble_seconds_ago": None if trouble is None else _age(at, trouble.at),
        "lost_at_once": None if outage is None else str(outage),
        "lost_since": None if outage is None else wall(outage.since),
    }


def _standing(standing: Standing, at: float, wall: Callable[[float], str]) -> dict[str, Json]:
    verdict = standing.verdict
    return {
        "status": str(verdict.status),
        "reason": str(verdict.reason),
        "since": wall(verdict.since),
        "for_seconds": _age(at, verdict.since),
        "evidence": told_of(standing, at),
        "would_change": verdict.reason.remedy,
        "suspected": standing.suspected,
        "failures": standing.failures,
        "last_fault": None if standing.fault is None else str(standing.fault),
        "proven_seconds_ago": _maybe_age(at, standing.proven_at),
        "progress_seconds_ago": _maybe_age(at, standing.progress_at),
        "asked_seconds_ago": _maybe_age(at, standing.asked_at),
        "in_flight": standing.pending,
        "canary_faults": standing.canary_faults,
    }


def told_of(standing: Standing, at: float) -> str:
    """Say in a line what decided a standing's verdict."""
    verdict = standing.verdict
    if verdict.reason is Reason.STALLED:
        silent = _age(at, standing.flow_at)
        return f"{standing.pending} in flight, nothing moved for {silent:g} s"
    return str(verdict.evidence)


def _age(at: float, then: float) -> float:
    return round(max(at - then, 0.0), 3)


def _maybe_age(at: float, then: float | None) -> float | None:
    return None if then is None else _age(at, then)
