"""What is due next for an endpoint: a question, a look at the clock, or nothing.

A canary is sent when nothing else proves the endpoint; never inside a lease or while the engine
sleeps, and at once after either. On top of users' work it is sent only when that has stood still
for longer than it ever does (`Rules.doubt`, which is learned), when there is a suspicion, or when
the engine was said to be dead: behind a page that tells of no single request a canary alone takes
that back, and an engine that came back to a queue of users would be called dead for as long as they
last. A suspicion is asked about at once; one that follows upon another that a canary has answered
waits its turn: users whose requests fail by their own fault must not bring a flood. An exam (a
correctness canary) is sent when it is wanted and nothing else is: of an endpoint that is ready,
idle and free of suspicion. A budget a day stretches the wait, and has a reserve for what is urgent
(`budget`). A look is needed where time alone changes a verdict.

Ranks of one engine take turns (`Rules.ranks`), so that all of them cost what one would: time is cut
into waits, and each wait is one rank's. An idle rank is asked in the first of its turns that comes
a wait after it was proven last. So there is at most one routine question a wait, one in every wait
while all are idle, and no rank is without a proof, or a question, for longer than `Rules.idle`.

While an endpoint is not ready the pace of questions is a tenth of how long that has lasted, between
`Rules.retry` and the wait: its end is seen late by no more than a tenth of it.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NamedTuple

from serinus.core.budget import affordable_at, stretched
from serinus.core.evidence import Phase
from serinus.core.rules import Rules
from serinus.core.verdict import Standing

__all__ = [
    "Due",
    "Exam",
    "Step",
    "ask_at",
    "look_at",
    "may_hurry",
    "next_due",
    "next_exam",
    "next_look",
    "on_top_at",
]

_NEVER = float("inf")
_NOT_YET = float("-inf")
_OF_AN_OUTAGE = 0.1
"""The share of an outage by which its end may be seen later: what is asked more often is lost."""
_DEAF = (Phase.PORT_CLOSED, Phase.UNRECOGNISED, Phase.NO_MODEL)
"""Phases of a starting engine in which nobody hears a canary; who sees them tells of the next."""


class Step(StrEnum):
    """What to do."""

    ASK = "ask"
    LOOK = "look"


_ASK, _LOOK = Step.ASK, Step.LOOK
"""Looked up once: an enumeration takes its time to find a member."""


class Due(NamedTuple):
    """Do `step` at `at` (monotonic seconds; infinity: nothing is due)."""

    at: float
    step: Step


class Exam(NamedTuple):
    """A correctness canary of so many `tokens` is wanted `wait` seconds after `since`."""

    since: float
    wait: float
    tokens: int


def next_due(standing: Standing, rules: Rules, *, now: float, early: float = 0.0) -> Due:
    """Say what is due next.

    `early` (0 to 1) is where in its jitter window this canary falls: a whole window early at 1,
    so that a canary never comes later than the configured wait.
    """
    look = look_at(standing, rules, now=now, early=early)
    ask = ask_at(standing, rules, early=early)
    return Due(ask, _ASK) if ask <= look else Due(look, _LOOK)


def next_look(standing: Standing, rules: Rules, *, now: float, early: float = 0.0) -> Due:
    """Say when time alone may change the verdict, for when no question can be asked."""
    return Due(look_at(standing, rules, now=now, early=early), _LOOK)


def look_at(standing: Standing, rules: Rules, *, now: float, early: float) -> float:
    """Say when time alone may change the verdict; infinity if it cannot."""
    if not standing.canary:
        return _NEVER
    stalls_at = standing.stalls_at(rules)
    if stalls_at is None:
        return now + rules.stall  # work that begins now can stall by then
    # Work ends without a word: look again, and not in step with requests that come in step.
    pace = rules.retry if standing.suspected else rules.wait
    again = now + pace * (1 - rules.jitter * early)
    return stalls_at if now < stalls_at < again else again


def may_hurry(standing: Standing, rules: Rules, *, now: float) -> bool:
    """Say whether the next routine question may be put now, for a hint that is no evidence.

    Not on top of work, nor where something else says when to ask.
    """
    routine = standing.canary and standing.verdict.ready and not standing.suspected
    if not routine or standing.busy or standing.asleep is not None or standing.leased(now):
        return False
    return standing.proven_at is not None and now >= affordable_at(
        standing.spent, rules, urgent=True
    )


def next_exam(standing: Standing, rules: Rules, exam: Exam, *, early: float = 0.0) -> float:
    """Say when an exam may be sent, as the endpoint stands now; infinity if it may not."""
    quiet = standing.canary and standing.verdict.ready and standing.proven_at is not None
    if not quiet or standing.busy or standing.suspected:
        return _NEVER
    wanted = exam.since + exam.wait * (1 - rules.jitter * early)
    paid = affordable_at(standing.spent, rules, urgent=False, tokens=exam.tokens)
    return max(wanted, standing.lease_until, paid)


def ask_at(standing: Standing, rules: Rules, *, early: float) -> float:
    """Say when a question may be sent, as the endpoint stands now; infinity if it may not."""
    if not standing.canary:
        return _NEVER
    if standing.asleep is not None and standing.died is None:
        return _NEVER
    if standing.busy and standing.died is None:
        wanted = on_top_at(standing, rules)
        return _NEVER if wanted is None else _paid(wanted, standing, rules)
    if standing.phase in _DEAF and not standing.verdict.ready:
        return _NEVER
    wanted = max(_wanted(standing, rules, early), standing.lease_until)
    return _paid(wanted, standing, rules)


def on_top_at(standing: Standing, rules: Rules) -> float | None:
    """Say when a canary is due on top of users' work, in monotonic seconds; None: not at all."""
    doubted = standing.doubted_at(rules)
    if standing.asleep or not standing.suspected:
        return doubted
    pressing = max(_pressing_at(standing, rules), standing.lease_until)
    return pressing if doubted is None else min(doubted, pressing)


def _pressing_at(standing: Standing, rules: Rules) -> float:
    """When a suspicion is asked about."""
    asked = _NOT_YET if standing.asked_at is None else standing.asked_at
    if standing.failures:
        fault = standing.fault
        counted = fault is not None and fault.at == asked
        return asked if counted or not standing.busy else asked + rules.wait
    by_users = standing.rejected_at > standing.cleared_at and not standing.ill
    if by_users and standing.proven_at is not None and standing.proven_at >= asked:
        return standing.cleared_at + rules.wait
    return asked + rules.retry


def _wanted(standing: Standing, rules: Rules, early: float) -> float:
    ready, asked = standing.verdict.ready, standing.asked_at
    proven = _NOT_YET if standing.proven_at is None else standing.proven_at
    if standing.lease_until > max(proven, _NOT_YET if asked is None else asked):
        return standing.lease_until
    if asked is None:
        if not ready or standing.suspect:
            return _NOT_YET
        return _routine(standing, rules, proven, early)
    if ready:
        if standing.suspected:
            return _pressing_at(standing, rules)
        last = max(proven, asked)
        return _routine(standing, rules, last, early)
    if 0 < standing.failures < rules.failure_threshold and proven > _NOT_YET:
        return asked
    pace = rules.retry
    if proven > _NOT_YET:
        pace = max(pace, min((asked - standing.verdict.since) * _OF_AN_OUTAGE, rules.wait))
    return asked + pace * (1 - rules.jitter * early)


def _routine(standing: Standing, rules: Rules, last: float, early: float) -> float:
    """When the next question is due that nothing but time asks for, `last` being the last word."""
    wait = stretched(standing.spent, rules, now=last)
    jitter = wait * rules.jitter * early
    at = last + wait * rules.ranks
    if rules.ranks > 1 and wait == rules.wait and last > _NOT_YET:
        whole = wait * rules.ranks
        at = rules.turn + math.ceil((last + wait - rules.turn) / whole) * whole
    return at - jitter


def _paid(wanted: float, standing: Standing, rules: Rules) -> float:
    """When a question that is wanted then can be paid for."""
    if not (rules.budget or rules.token_budget):
        return wanted
    return max(wanted, affordable_at(standing.spent, rules, urgent=standing.urgent))
