"""The witnesses of an endpoint: the last word of each, how old it is, and how much it weighs.

A weight of 1 decides alone, one of 0 says nothing:

| witness          | its word                                  | weight                            |
|------------------|-------------------------------------------|-----------------------------------|
| process          | it died, is still loading, or sleeps      | 1                                 |
| canary           | it brought its token                      | 1, less with age                  |
|                  | it failed, and it counted                 | failures in a row / the threshold |
|                  | it failed and was excused, or was lost    | 0                                 |
| traffic          | real output                               | 1, less with age                  |
|                  | a request failed on our side              | 1/4, less with age                |
| engine counters  | progress                                  | 1, less with age                  |
|                  | no reading, which is not idleness         | 0                                 |
| either of both   | users' work has outlasted the stall budget| 1                                 |
| own health       | well, or not well                         | 1/4, less with age                |
| owner, ourselves | a lease; trouble of our own               | 0: they excuse, and accuse nobody |

A word keeps its weight for as long as the next one may take (the wait and the deadline of a
canary); from then on it falls as 1/age. *Pending* work is what the engine says is running or
waiting, or what we see in flight ourselves, whichever says more; a reading that failed leaves what
was known before. *Progress* is any of tokens, steps or finished requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from serinus.core.evidence import (
    Blinded,
    CanaryFailed,
    CanaryPassed,
    CanaryUnknown,
    EngineDied,
    Evidence,
    Heard,
    Lease,
    Load,
    Loading,
    Progress,
    RequestFailed,
    RequestFault,
    Sleep,
    Tick,
    Witness,
)
from serinus.core.renewal import renewed_often
from serinus.core.rules import Rules

__all__ = ["Says", "Testimony", "Words"]

_COUNTERS = Witness.COUNTERS  # looked up once: an enumeration takes its time to find a member
_TESTIMONY = 0.25
"""Weight of what makes us ask and never decides."""


class Says(StrEnum):
    """What a word comes to."""

    WELL = "well"
    NOT_WELL = "not well"
    NOTHING = "nothing"


class Testimony(NamedTuple):
    """One witness's last word. `weight` is from 0 to 1; `short` is the word in a word or two."""

    witness: Witness
    says: Says
    at: float
    weight: float
    short: str
    detail: str

    def told(self, now: float) -> str:
        """Return it as part of a line: `own health (200, 1.1 s ago)`."""
        return f"{self.witness} ({self.short}, {max(now - self.at, 0.0):.1f} s ago)"


@renewed_often
class Words(NamedTuple):
    """The last word of each witness; None as long as it has said nothing."""

    canary: CanaryPassed | CanaryFailed | CanaryUnknown | None = None
    traffic: Progress | RequestFailed | None = None
    in_flight: Load | None = None
    """What we see ourselves of users' work."""
    counters: Progress | None = None
    reading: Load | None = None
    """What the engine's page says of users' work; its `pending` is None while it says nothing."""
    reported: int | None = None
    """What the page said when it last said something."""
    health: Heard | None = None
    process: EngineDied | Loading | Sleep | None = None
    owner: Lease | None = None
    ourselves: Blinded | None = None

    @property
    def pending(self) -> int | None:
        """Users' work, by whoever says more; None as long as nobody has said."""
        seen = None if self.in_flight is None else self.in_flight.pending
        if seen is None or self.reported is None:
            return self.reported if seen is None else seen
        return max(seen, self.reported)

    def after(self, evidence: Evidence) -> Words:
        """Return the words once `evidence` is known."""
        match evidence:  # the most frequent first
            case Load():
                return self._loaded(evidence)
            case Progress():
                started = self
                if self.process is not None and not isinstance(self.process, EngineDied):
                    started = self._replace(process=None)
                if evidence.witness is _COUNTERS:
                    return started._replace(counters=evidence)
                return started._replace(traffic=evidence)
            case CanaryPassed():
                return self._replace(canary=evidence, process=None)
            case Tick():
                return self
            case CanaryFailed() | CanaryUnknown():
                return self._replace(canary=evidence)
            case RequestFailed():
                blamed = evidence.fault is not RequestFault.CLIENT
                return self._replace(traffic=evidence) if blamed else self
            case Heard():
                return self._replace(health=evidence)
            case EngineDied():
                return self._replace(process=evidence)
            case Loading():
                dead = isinstance(self.process, EngineDied)
                return self if dead else self._replace(process=evidence)
            case Sleep():
                return self._slept(evidence)
            case Lease():
                return self._replace(owner=evidence)
            case Blinded():
                return self._replace(ourselves=evidence)
            case _:
                return self

    def _loaded(self, load: Load) -> Words:
        if load.witness is not _COUNTERS:
            return self if load.pending is None else self._replace(in_flight=load)
        known = self.reported if load.pending is None else load.pending
        return self._replace(reading=load, reported=known)

    def _slept(self, sleep: Sleep) -> Words:
        if isinstance(self.process, EngineDied):
            return self
        return self._replace(process=sleep if sleep.asleep else None)

    def testimonies(
        self, rules: Rules, *, now: float, flow_at: float, failures: int, counted: bool
    ) -> tuple[Testimony, ...]:
        """Return what each witness says at `now`, the heaviest word first.

        `flow_at`: when work in flight last went on, or its silence began to count. `failures`:
        failed canaries in a row. `counted`: whether the canary's last failure is one of them.
        """
        still = self._standstill(rules, now - flow_at)
        said = [
            *still,
            *self._process(),
            *self._canary(rules, failures if counted else 0),
            *self._traffic(),
            *self._counters(),
            *self._own_health(),
            *self._excuses(now),
        ]
        first = {one.witness: one for one in reversed(said)}
        fresh = rules.idle + rules.deadline
        aged = [one._replace(weight=_aged(one, now - one.at, fresh)) for one in first.values()]
        return tuple(sorted(aged, key=lambda one: (-one.weight, -one.at, one.witness)))

    def _standstill(self, rules: Rules, silence: float) -> Iterator[Testimony]:
        """Users' work that has outlasted the stall budget: the word of whoever sees the work."""
        pending = self.pending
        load = self.in_flight if self.reading is None else self.reading
        if load is not None and pending and silence >= rules.stall:
            detail = f"{pending} in flight, nothing moved for {silence:.1f} s"
            yield Testimony(load.witness, Says.NOT_WELL, load.at, 1.0, "standstill", detail)

    def _process(self) -> Iterator[Testimony]:
        word = self.process
        if word is not None:
            short = _state(word)
            yield Testimony(Witness.PROCESS, Says.NOT_WELL, word.at, 1.0, short, str(word))

    def _canary(self, rules: Rules, failures: int) -> Iterator[Testimony]:
        word = self.canary
        if isinstance(word, CanaryPassed):
            yield Testimony(Witness.CANARY, Says.WELL, word.at, 1.0, "passed", str(word))
        elif isinstance(word, CanaryUnknown):
            yield Testimony(Witness.CANARY, Says.NOTHING, word.at, 0.0, "unknown", str(word))
        elif word is not None:
            weight = min(failures / rules.failure_threshold, 1.0)
            says = Says.NOT_WELL if failures else Says.NOTHING
            yield Testimony(Witness.CANARY, says, word.at, weight, str(word.fault), str(word))

    def _traffic(self) -> Iterator[Testimony]:
        word = self.traffic
        if isinstance(word, Progress):
            yield Testimony(Witness.TRAFFIC, Says.WELL, word.at, 1.0, "output", str(word))
        elif word is not None:
            says, short = Says.NOT_WELL, f"{word.fault} failure"
            yield Testimony(Witness.TRAFFIC, says, word.at, _TESTIMONY, short, str(word))

    def _counters(self) -> Iterator[Testimony]:
        reading, moved = self.reading, self.counters
        if reading is not None and reading.pending is None:
            told = "no reading of the engine's metrics that can be believed"
            yield Testimony(Witness.COUNTERS, Says.NOTHING, reading.at, 0.0, "unknown", told)
        elif moved is not None:
            yield Testimony(Witness.COUNTERS, Says.WELL, moved.at, 1.0, "progress", str(moved))

    def _own_health(self) -> Iterator[Testimony]:
        word = self.health
        if word is not None:
            weight = 0.0 if word.well is None else _TESTIMONY
            says = _OWN_WORDS[word.well]
            short = word.detail or str(says)
            yield Testimony(Witness.OWN_HEALTH, says, word.at, weight, short, str(word))

    def _excuses(self, now: float) -> Iterator[Testimony]:
        lease, ours = self.owner, self.ourselves
        if lease is not None and lease.until > now:
            yield Testimony(Witness.OWNER, Says.NOTHING, lease.at, 0.0, "lease", str(lease))
        if ours is not None:
            yield Testimony(Witness.OURSELVES, Says.NOTHING, ours.at, 0.0, "trouble", str(ours))


def _state(word: EngineDied | Loading | Sleep) -> str:
    match word:
        case EngineDied():
            return "dead"
        case Loading():
            return str(word.phase)
        case Sleep():
            return "asleep"


_OWN_WORDS = {True: Says.WELL, False: Says.NOT_WELL, None: Says.NOTHING}


def _aged(word: Testimony, age: float, fresh: float) -> float:
    """What a word weighs by now. An accusation that counts stands until a proof takes it back."""
    accuses = word.says is Says.NOT_WELL and word.weight > _TESTIMONY
    return word.weight if accuses or age <= fresh else word.weight * fresh / age
