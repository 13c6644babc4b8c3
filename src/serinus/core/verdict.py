"""What we believe of one endpoint, and how each piece of evidence changes it.

A `Standing` is all that is remembered of an endpoint. `standing.after(evidence, rules)` gives the
next one; its `verdict` is the first line of this table that applies:

| line | holds when                                             | verdict                          |
|------|--------------------------------------------------------|----------------------------------|
| 1    | the engine died, and neither a canary has passed since | not ready, engine_died           |
|      | nor a new request begun its answer, a deadline later   |                                  |
| 2    | the engine says that it sleeps, and brought nothing    | not ready, sleeping              |
|      | since it began to say so                               |                                  |
| 3    | the endpoint has no canary                             | ready, declared                  |
| 4    | never proven                                           | not ready: last fault, or phase  |
| 5    | failed canaries in a row reached the threshold         | not ready: the last fault        |
| 6    | trouble of our own has outlasted what it may excuse    | not ready, blind                 |
| 7    | was not ready, proofs in a row below the threshold     | not ready, as it was             |
| 8    | work in flight, no flow for longer than the stall, or  | not ready, stalled               |
|      | than the doubt and no answer to a canary on top of it  |                                  |
| 9    | otherwise                                              | ready: canary or traffic         |

What keeps busy from being taken for dead: a canary that timed out, or whose handler would not end,
while users' work was in flight counts for nothing (line 8 judges instead), and one that failed
while real output came counts against the canary, unless new requests of users fail as it does and
what comes is of older ones. Work that came when a canary had been silent for half of its time
already excuses neither it nor the ones after it. A lease excuses silence, never a wrong or error
answer, and every budget of silence begins anew after it. Sleep that an engine tells of is like a
lease whose end it tells too, but that it cannot serve meanwhile: it is live, and not ready.

What keeps our own trouble from being taken for the engine's: silence that it hides is excused as by
a lease, for as long as `Rules.excuse`. After that nobody can say that the endpoint serves, so it is
not ready (line 6); but the fault is ours, so no restart of the engine is asked for. A proof, or a
failure that is not excused, ends it; so does the end of the trouble, where work stands still.
"""

from __future__ import annotations

from typing import Any, NamedTuple, assert_never

from serinus.core.budget import Spending
from serinus.core.evidence import (
    Blinded,
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    CanaryUnknown,
    EngineDied,
    Evidence,
    Heard,
    Lease,
    Load,
    Loading,
    Phase,
    Progress,
    Registered,
    RequestFailed,
    RequestFault,
    SiblingFailed,
    Sleep,
    Spent,
    Tick,
)
from serinus.core.renewal import renewed_often
from serinus.core.rules import Rules
from serinus.core.status import HealthStatus, Reason
from serinus.core.witnesses import Testimony, Words

__all__ = ["Standing", "Verdict"]

_READY, _NOTREADY = HealthStatus.READY, HealthStatus.NOTREADY
"""Looked up once: an enumeration takes its time to find a member."""
_FAULT_REASONS = {
    CanaryFault.TIMEOUT: Reason.CANARY_TIMEOUT,
    CanaryFault.ERROR_ITEM: Reason.CANARY_ERROR,
    CanaryFault.EMPTY: Reason.CANARY_EMPTY,
    CanaryFault.RAISED: Reason.CANARY_RAISED,
    CanaryFault.REFUSED: Reason.CANARY_REFUSED,
    CanaryFault.DROPPED: Reason.CANARY_DROPPED,
    CanaryFault.WRONG_SHAPE: Reason.CANARY_WRONG_SHAPE,
    CanaryFault.STUCK: Reason.CANARY_STUCK,
}
_PHASE_REASONS = {
    Phase.PORT_CLOSED: Reason.PORT_CLOSED,
    Phase.UNRECOGNISED: Reason.UNRECOGNISED,
    Phase.NO_MODEL: Reason.NO_MODEL,
    Phase.FIRST_TOKEN: Reason.FIRST_TOKEN,
}
_ALMOST = 0.9
"""A question may be sent a little before it is due."""
_UNSENT = (CanaryFault.REFUSED, CanaryFault.STUCK)
"""Faults of questions that reached nobody."""
_SILENCES = (CanaryFault.TIMEOUT, CanaryFault.STUCK)
_AHEAD = 0.5
"""The share of its time for which a canary must have been silent before work that came later is no
excuse for it."""


class Verdict(NamedTuple):
    """Ready or not, why, since when the status holds, and the evidence that decided."""

    status: HealthStatus
    reason: Reason
    since: float
    evidence: Evidence

    @property
    def ready(self) -> bool:
        """Whether traffic may come."""
        return self.status is _READY


@renewed_often
class Standing(NamedTuple):
    """All that is remembered of one endpoint. Times are of the caller's monotonic clock."""

    canary: bool
    verdict: Verdict
    failures: int = 0
    """Failed canaries in a row."""
    successes: int = 0
    """Proofs in a row since the endpoint turned not ready."""
    fault: CanaryFailed | None = None
    """The last failure that counted."""
    proven_at: float | None = None
    """The last proof of any kind; None until the first."""
    proven_by_canary: bool = False
    progress_at: float | None = None
    """The last real output."""
    begun_at: float = float("-inf")
    """The last output of a request that had brought none before; any, where that is not told."""
    rejected_at: float = float("-inf")
    """When a request last failed by no fault of its user's."""
    turned_away: float | None = None
    """When the canary was sent that failed as users' new requests do, while older ones go on."""
    asked_at: float | None = None
    """When the last canary's outcome was known; None before the first."""
    sent_at: float | None = None
    """When the canary was sent whose outcome was known last."""
    cleared_at: float = float("-inf")
    """When a canary last answered a suspicion."""
    pending: int | None = None
    """Users' work in flight when last known; None when never known."""
    flow_at: float = float("-inf")
    """When work in flight last went on, or began."""
    hung_since: float | None = None
    """Since when silence has been proven; None while it is not."""
    died: EngineDied | None = None
    phase: Phase | None = None
    newcomers: bool | None = None
    """Whether work that stands still may be reading prompts (see Load)."""
    unanswered: bool = False
    """Work stands still, and a canary on top of it got no answer."""
    lease_until: float = float("-inf")
    """When the last planned pause ends or ended; waking up ends one too."""
    asleep: Sleep | None = None
    """The engine's word that it sleeps; None while it is awake, as far as anyone knows."""
    suspect: bool = False
    """A question is owed: a user's request failed on our side, a canary's outcome was lost, the
    engine began to say that it is not well, or another member of its group turned not ready."""
    canary_faults: int = 0
    """Canaries that failed while real output came: the canary's own fault."""
    ill: bool = False
    """The engine's own word was "not well" when it was heard last."""
    words: Words = Words()
    """The last word of each witness."""
    blind_since: float | None = None
    """When trouble of our own was seen first that has hidden the endpoint since; None without."""
    blind_at: float = float("-inf")
    """When there was trouble of our own last."""
    spent: Spending = Spending()
    """What its canaries have cost."""

    @classmethod
    def of(cls, registered: Registered) -> Standing:
        """Begin the life of an endpoint: one with a canary must be proven before it is ready."""
        status, reason = _READY, Reason.DECLARED
        if registered.canary:
            status, reason = _NOTREADY, Reason.UNPROVEN
        return cls(registered.canary, Verdict(status, reason, registered.at, registered))

    @property
    def heard(self) -> Heard | None:
        """The engine's own word on its health, the last time that it was heard."""
        return self.words.health

    @property
    def busy(self) -> bool:
        """Whether users' work is in flight, as far as anyone knows."""
        return bool(self.pending)

    @property
    def suspected(self) -> bool:
        """Whether a second question is due before anyone is accused."""
        return (self.suspect or self.failures > 0) and self.verdict.ready

    @property
    def urgent(self) -> bool:
        """Whether a question is more than routine: it is in doubt, or known not to be ready."""
        return not self.verdict.ready or self.suspected or self.busy

    def leased(self, at: float) -> bool:
        """Whether a planned pause covers `at`."""
        return at < self.lease_until

    def stalls_at(self, rules: Rules) -> float | None:
        """When the work in flight will count as stalled; None when there is none."""
        if not (self.pending and self.canary):
            return None
        budget = min(rules.doubt, rules.stall) if self.unanswered else rules.stall
        return self._silence_counts_from(self.flow_at, rules) + budget

    def doubted_at(self, rules: Rules) -> float | None:
        """When a canary is due on top of work that stands still; None when it is not."""
        if not (rules.doubt and self.canary and self.pending and self.verdict.ready):
            return None
        if self.unanswered:
            return None
        since = self._silence_counts_from(self.flow_at, rules)
        due = since + rules.doubt
        if self.asked_at is None or self.sent_at is None:
            return due
        if self.sent_at < since + rules.doubt * _ALMOST:  # it asked about something else
            return max(due, self.asked_at)
        begun = self.progress_at is not None and self.sent_at <= self.progress_at <= self.asked_at
        return self.asked_at + (rules.doubt if begun else max(rules.wait, rules.doubt))

    def hangs_at(self, rules: Rules) -> float | None:
        """When a proven hang will have used up its budget; None when nothing hangs.

        What was learned may turn readiness early, and never liveness: work that stands still
        begins to use it up when the configured stall budget is over.
        """
        if self.hung_since is None:
            return None
        hung = self.hung_since
        if self.verdict.reason is Reason.STALLED:
            hung = max(hung, self._silence_counts_from(self.flow_at, rules) + rules.stall)
        return self._silence_counts_from(hung, rules) + rules.hang

    def _silence_counts_from(self, since: float, rules: Rules) -> float:
        """When silence begins to count: neither a lease nor trouble of our own is part of it."""
        until = max(since, self.lease_until)
        return until if self.blind_since is None else max(until, self._unseen_until(rules))

    def _unseen_until(self, rules: Rules) -> float:
        """Until when trouble of our own excuses silence."""
        if self.blind_since is None:
            return float("-inf")
        return min(self.blind_at, self.blind_since + rules.excuse)

    def testimonies(self, rules: Rules, *, now: float) -> tuple[Testimony, ...]:
        """Return what each witness says at `now`, the heaviest word first."""
        return self.words.testimonies(
            rules,
            now=now,
            flow_at=self._silence_counts_from(self.flow_at, rules),
            failures=self.failures,
            counted=self.words.canary is self.fault,
        )

    def after(self, evidence: Evidence, rules: Rules) -> Standing:
        """Return the standing once `evidence` is known."""
        words = self.words.after(evidence)
        return self._seen(evidence, words, rules)._judged(evidence, rules)

    def _seen(self, evidence: Evidence, words: Words, rules: Rules) -> Standing:
        """Take evidence in; the most frequent first, and with one renewal for all that follows."""
        match evidence:
            case Load():
                return self._loaded(evidence, words)
            case Progress():
                return self._progressed(evidence, words, rules)
            case CanaryPassed():
                return self._proven(
                    evidence.at,
                    rules,
                    by_canary=True,
                    flow=evidence.flow,
                    words=words,
                    spent=self._spending(evidence.at, rules, tokens=evidence.tokens),
                    sent_at=evidence.at - evidence.total,
                )
            case Tick():
                return self
        known = self if words is self.words else self._replace(words=words)
        match evidence:
            case CanaryFailed():
                unsent = evidence.fault in _UNSENT
                spent = known.spent if unsent else known._spending(evidence.at, rules, tokens=1)
                paid = known._replace(spent=spent)
                return paid._failed(evidence, rules)
            case RequestFailed():
                if evidence.fault is RequestFault.CLIENT:
                    return known
                return known._replace(suspect=True, rejected_at=evidence.at)
            case SiblingFailed():
                return known._replace(suspect=True)
            case CanaryUnknown():
                spent = known._spending(evidence.at, rules, tokens=1)
                return known._replace(spent=spent, asked_at=evidence.at, suspect=True)
            case Spent():
                spent = known._spending(
                    evidence.at,
                    rules,
                    canaries=evidence.canaries,
                    tokens=evidence.tokens,
                    urgent=evidence.urgent,
                )
                return known._replace(spent=spent)
            case Loading():
                return known._replace(phase=evidence.phase)
            case EngineDied():
                return known._replace(died=evidence)
            case Heard():
                return known._told(evidence)
            case Lease():
                return known._replace(lease_until=evidence.until)
            case Sleep():
                return known._slept(evidence)
            case Blinded():
                return known._blinded(evidence, rules)
            case Registered():
                return Standing.of(evidence)._replace(spent=known.spent)
            case _:
                assert_never(evidence)

    def _progressed(self, progress: Progress, words: Words, rules: Rules) -> Standing:
        at, began_at = progress.at, progress.began_at
        begun_at = max(self.begun_at, at if began_at is None else began_at)
        flowed_at = at if progress.flow_at is None else progress.flow_at
        if self.turned_away is not None and begun_at < self.turned_away:
            known = self._replace(words=words, progress_at=at, begun_at=begun_at)
            return known._flowed(flowed_at) if progress.flow else known
        proven = self._proven(
            at,
            rules,
            by_canary=False,
            flow=progress.flow,
            flow_at=flowed_at,
            words=words,
            progress_at=at,
            begun_at=begun_at,
        )
        if self.suspect and begun_at < self.rejected_at:  # older requests may well go on
            proven = proven._replace(suspect=True)
        if self._revived(progress, rules):
            proven = proven._replace(died=None)
        return proven

    def _revived(self, progress: Progress, rules: Rules) -> bool:
        """Whether an answer began too late to come out of a queue before an engine that is dead."""
        if self.died is None or progress.began_at is None:
            return False
        return progress.began_at > self.died.at + rules.deadline

    def _proven(
        self,
        at: float,
        rules: Rules,
        *,
        by_canary: bool,
        flow: bool,
        flow_at: float | None = None,
        **known: Any,
    ) -> Standing:
        """Take a proof in; `known`: what else changes with it."""
        flowed_at = at if flow_at is None else flow_at
        proven = self._replace(
            successes=self.successes + 1,
            proven_at=at,
            proven_by_canary=by_canary,
            asked_at=at if by_canary else self.asked_at,
            flow_at=max(self.flow_at, flowed_at if flow else self._unseen_until(rules)),
            unanswered=self.unanswered and not (by_canary or flow),
            **known,
        )
        if self._untroubled:
            return proven
        return proven._replace(
            failures=0,
            cleared_at=at if by_canary and self.suspect else self.cleared_at,
            turned_away=None,
            hung_since=None,
            blind_since=None,
            died=None if by_canary else self.died,
            phase=None,
            suspect=False,
            asleep=None,
        )

    @property
    def _untroubled(self) -> bool:
        """Whether nothing is remembered that a proof would end."""
        if self.failures or self.suspect or self.asleep is not None or self.phase is not None:
            return False
        gone = self.died is None and self.hung_since is None
        return gone and self.turned_away is None and self.blind_since is None

    def _flowed(self, at: float) -> Standing:
        if at <= self.flow_at:
            return self
        return self._replace(flow_at=at, unanswered=False)

    def _loaded(self, load: Load, words: Words) -> Standing:
        if load.pending is None:
            return self._replace(words=words)
        pending, flowed_at = words.pending, load.flow_at
        if flowed_at is None:
            flowed_at = load.at if pending and not self.busy else self.flow_at
        return self._replace(
            words=words,
            pending=pending,
            newcomers=load.newcomers,
            flow_at=max(self.flow_at, flowed_at),
            unanswered=self.unanswered and flowed_at <= self.flow_at,
        )

    def _told(self, heard: Heard) -> Standing:
        """Take the engine's own word: no verdict; a question once when it turns to "not well"."""
        ill = heard.well is False
        return self._replace(ill=ill, suspect=self.suspect or (ill and not self.ill))

    def _spending(
        self,
        at: float,
        rules: Rules,
        *,
        tokens: int,
        canaries: int = 1,
        urgent: bool | None = None,
    ) -> Spending:
        if urgent is None:
            urgent = bool(rules.budget or rules.token_budget) and self.urgent
        return self.spent.paid(rules, now=at, canaries=canaries, tokens=tokens, urgent=urgent)

    def _slept(self, sleep: Sleep) -> Standing:
        """Take in that the engine fell asleep, which excuses what failed on the way, or woke up."""
        if sleep.asleep:
            fallen = self._replace(failures=0, suspect=False, unanswered=False, blind_since=None)
            return fallen._replace(asleep=self.asleep or sleep)
        if self.asleep is None:
            return self
        return self._replace(asleep=None, lease_until=max(self.lease_until, sleep.at))

    def _failed(self, failed: CanaryFailed, rules: Rules) -> Standing:
        asked = self._replace(asked_at=failed.at, sent_at=failed.sent, suspect=False)
        if self.asleep is not None:
            return asked
        turned_away = self.turned_away
        if self._like_new_requests(failed):
            turned_away = failed.sent
        elif self.progress_at is not None and self.progress_at >= failed.sent:
            return asked._replace(canary_faults=self.canary_faults + 1)
        leased = self.leased(failed.sent) or self.leased(failed.at)
        excused = leased or self._behind_work(failed)
        if excused and failed.fault in _SILENCES:
            return asked._replace(unanswered=self._in_doubt(failed, rules))
        return asked._replace(
            failures=self.failures + 1,
            successes=0,
            fault=failed,
            phase=None,
            blind_since=None,
            turned_away=turned_away,
        )

    def _like_new_requests(self, failed: CanaryFailed) -> bool:
        """Whether users' new requests fail as this canary did: what comes is of older ones."""
        if failed.fault in _SILENCES:
            return False
        return self.begun_at < min(failed.sent, self.rejected_at)

    def _behind_work(self, failed: CanaryFailed) -> bool:
        """Whether it may have waited for users' work.

        It has not if the work's silence began when it, or the first one of its row that counted,
        had been silent for a while. Where a page tells of the work, nobody knows when it began, as
        pages lag.
        """
        if not self.busy:
            return False
        if self.words.reading is not None and self.words.reading.pending:
            return True
        first = self.fault if self.failures and self.fault is not None else failed
        if first.fault not in _SILENCES:
            first = failed
        return self.flow_at < first.sent + _AHEAD * (first.at - first.sent)

    def _in_doubt(self, failed: CanaryFailed, rules: Rules) -> bool:
        """Whether the work stood still already when an unanswered canary was sent on top of it.

        That there may be a long prompt, which some engines read to its end first, excuses it.
        """
        if self.unanswered or not (self.busy and rules.doubt):
            return self.unanswered
        if self.newcomers is not False and not rules.beside:
            return False
        stood_still = failed.sent - self._silence_counts_from(self.flow_at, rules)
        return stood_still >= rules.doubt * _ALMOST

    def _blinded(self, blinded: Blinded, rules: Rules) -> Standing:
        """Trouble goes on if no more than what it may excuse lies between it and the last one.

        A single one is excused however long it was: what counts is that it does not end.
        """
        goes_on = self.blind_since is not None and blinded.since - self.blind_at < rules.excuse
        since = self.blind_since if goes_on else blinded.at
        return self._replace(blind_since=since, blind_at=blinded.at)

    def _blind(self, at: float, rules: Rules) -> bool:
        """Whether trouble of our own has outlasted what it may excuse, and is not over yet."""
        if self.blind_since is None or at - self.blind_at >= rules.excuse:
            return False
        return self.blind_at - self.blind_since >= rules.excuse

    def _judged(self, evidence: Evidence, rules: Rules) -> Standing:
        status, reason, decided = self._table(evidence, rules)
        was = self.verdict
        if status is was.status and reason is was.reason:
            if status is _READY and self.hung_since is None:
                return self
            verdict = was
        else:
            since = was.since if status is was.status else evidence.at
            verdict = Verdict(status, reason, since, decided)
        hung = self._hung_since(verdict, evidence.at)
        if verdict is was and hung == self.hung_since:
            return self
        successes = 0 if was.ready and not verdict.ready else self.successes
        return self._replace(verdict=verdict, hung_since=hung, successes=successes)

    def _table(self, evidence: Evidence, rules: Rules) -> tuple[HealthStatus, Reason, Evidence]:
        ready, notready, was = _READY, _NOTREADY, self.verdict
        if self.died is not None:
            return notready, Reason.ENGINE_DIED, self.died
        if self.asleep is not None:
            return notready, Reason.SLEEPING, self.asleep
        if not self.canary:
            return ready, Reason.DECLARED, was.evidence
        if self.proven_at is None:
            return notready, *self._why_unproven(evidence)
        if self.failures and self.fault is not None and self._condemned(rules):
            return notready, _FAULT_REASONS[self.fault.fault], self.fault
        if self.words.ourselves is not None and self._blind(evidence.at, rules):
            return notready, Reason.BLIND, self.words.ourselves
        stalls_at = self.stalls_at(rules)
        stalled = stalls_at is not None and evidence.at >= stalls_at
        if was.status is notready and self.successes < rules.success_threshold:
            if stalled and was.reason is Reason.BLIND:
                return notready, Reason.STALLED, evidence
            return notready, was.reason, was.evidence
        if stalled:
            return notready, Reason.STALLED, evidence
        if was.status is ready:
            return ready, was.reason, was.evidence
        return ready, Reason.CANARY if self.proven_by_canary else Reason.TRAFFIC, evidence

    def _why_unproven(self, evidence: Evidence) -> tuple[Reason, Evidence]:
        if self.phase is not None:
            return _PHASE_REASONS[self.phase], evidence
        if self.fault is not None:
            return _FAULT_REASONS[self.fault.fault], self.fault
        return Reason.UNPROVEN, self.verdict.evidence

    def _condemned(self, rules: Rules) -> bool:
        if self.fault is not None and self.fault.fault is CanaryFault.STUCK:
            return True  # there will be no second question on top of a handler that does not end
        return self.failures >= rules.failure_threshold

    def _hung_since(self, verdict: Verdict, at: float) -> float | None:
        if verdict.ready or not verdict.reason.is_hang or self.proven_at is None:
            return None
        return at if self.hung_since is None else self.hung_since
