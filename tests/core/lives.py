"""Lives of endpoints for the tests of the judge: what was seen, in order, and what came of it."""

from __future__ import annotations

from serinus.core.evidence import (
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    Evidence,
    Load,
    Progress,
    Registered,
)
from serinus.core.rules import Rules
from serinus.core.status import Reason
from serinus.core.verdict import Standing

RULES = Rules(wait=10, deadline=3, stall=60, hang=30, failure_threshold=2, success_threshold=1)
AT_ONCE = RULES._replace(failure_threshold=1)
"""One failure is enough, as in the reference."""
SILENCES = (CanaryFault.TIMEOUT, CanaryFault.STUCK)
WRONG_ANSWERS = tuple(fault for fault in CanaryFault if fault not in SILENCES)


def life(*seen: Evidence, rules: Rules = RULES, canary: bool = True) -> Standing:
    """Register an endpoint at 0 s and bring it the evidence."""
    return lived(Standing.of(Registered(0.0, canary=canary)), *seen, rules=rules)


def lived(standing: Standing, *seen: Evidence, rules: Rules = RULES) -> Standing:
    """Go on with a life."""
    for evidence in seen:
        standing = standing.after(evidence, rules)
    return standing


def passed(at: float) -> CanaryPassed:
    """A canary that took 0.1 s."""
    return CanaryPassed(at, 0.1, 0.1)


def failed(
    at: float, fault: CanaryFault = CanaryFault.TIMEOUT, *, sent: float | None = None
) -> CanaryFailed:
    """A canary that failed; sent 1 s before if not said otherwise."""
    return CanaryFailed(at, at - 1 if sent is None else sent, fault)


def begun(at: float) -> Progress:
    """The first chunk of a stream."""
    return Progress(at, flow=False)


def busy(at: float, pending: int = 1, *, flow_at: float | None = None) -> Load:
    """Work in flight, as an engine's counters show it."""
    return Load(at, pending, flow_at)


def idle(at: float) -> Load:
    """No work in flight."""
    return Load(at, 0)


def seen(standing: Standing) -> tuple[str, Reason]:
    """Shorten a verdict to its status and reason."""
    return str(standing.verdict.status), standing.verdict.reason
