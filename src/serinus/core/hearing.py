"""Who decided a verdict, and who disagreed."""

from __future__ import annotations

from typing import NamedTuple

from serinus.core.evidence import (
    Blinded,
    EngineDied,
    Evidence,
    Lease,
    Load,
    Loading,
    Progress,
    Registered,
    Sleep,
    Witness,
)
from serinus.core.rules import Rules
from serinus.core.status import Reason
from serinus.core.verdict import Standing, Verdict
from serinus.core.witnesses import Says, Testimony

__all__ = ["Hearing", "heard"]

_PROOFS = frozenset({Witness.CANARY, Witness.TRAFFIC, Witness.COUNTERS})
_SPEAKERS = {
    Registered: Witness.OWNER,
    Lease: Witness.OWNER,
    EngineDied: Witness.PROCESS,
    Loading: Witness.PROCESS,
    Sleep: Witness.PROCESS,
    Blinded: Witness.OURSELVES,
}


class Hearing(NamedTuple):
    """All witnesses of an endpoint at `at`, the heaviest word first; who decided its verdict."""

    at: float
    decided: Testimony
    disagree: tuple[Testimony, ...]
    """Those who say the opposite, and those who were asked and could not say."""
    testimonies: tuple[Testimony, ...]

    def __str__(self) -> str:
        age = max(self.at - self.decided.at, 0.0)
        told = f"decided by {self.decided.witness} {age:.1f} s ago"
        if not self.disagree:
            return told
        return f"{told}; disagree: {', '.join(one.told(self.at) for one in self.disagree)}"


def heard(standing: Standing, rules: Rules, *, now: float) -> Hearing:
    """Hear all witnesses of an endpoint."""
    words = standing.testimonies(rules, now=now)
    verdict = standing.verdict
    decided = _proof(verdict, words) if verdict.ready else _accusation(verdict, words)
    fresh = rules.idle + rules.deadline
    disagree = tuple(one for one in words if _disagrees(one, decided, fresh))
    return Hearing(now, decided, disagree, words)


def _proof(verdict: Verdict, words: tuple[Testimony, ...]) -> Testimony:
    """The newest proof keeps an endpoint ready."""
    proofs = [one for one in words if one.says is Says.WELL and one.witness in _PROOFS]
    return max(proofs, key=lambda one: one.at, default=_made(verdict, Says.WELL))


def _accusation(verdict: Verdict, words: tuple[Testimony, ...]) -> Testimony:
    """The witness that turned it, by its last word if that still accuses."""
    made = _made(verdict, Says.NOT_WELL)
    against = [one for one in words if one.says is Says.NOT_WELL]
    if verdict.reason is Reason.STALLED:
        still = [one for one in against if one.witness in (Witness.COUNTERS, Witness.TRAFFIC)]
        return still[0]._replace(at=verdict.since) if still else made
    return next((one for one in against if one.witness is made.witness), made)


def _made(verdict: Verdict, says: Says) -> Testimony:
    """Make a testimony of a verdict's own evidence."""
    told = str(verdict.evidence)
    return Testimony(_speaker(verdict.evidence), says, verdict.evidence.at, 1.0, told, told)


def _speaker(evidence: Evidence) -> Witness:
    if isinstance(evidence, Progress | Load):
        return evidence.witness
    return _SPEAKERS.get(type(evidence), Witness.CANARY)


def _disagrees(word: Testimony, decided: Testimony, fresh: float) -> bool:
    if word.witness is decided.witness or word.witness in (Witness.OWNER, Witness.OURSELVES):
        return False
    if word.says is Says.NOTHING:
        return True
    older_by = fresh if word.witness is Witness.OWN_HEALTH else 0.0
    return word.says is not decided.says and word.at >= decided.at - older_by
