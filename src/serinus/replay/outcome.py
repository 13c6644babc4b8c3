"""What came of a replay, and how well that fits what was really wrong."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from serinus.core.address import EndpointAddress
from serinus.core.rules import Rules
from serinus.core.status import Reason
from serinus.core.system_health import EndpointHealth, SystemHealth
from serinus.core.verdict import Standing
from serinus.replay.history import unheard
from serinus.replay.kubelet import Answers
from serinus.replay.truth import Fault

__all__ = ["Detection", "Outcome", "Score", "Timeline", "Turn", "Witnessing", "scored"]


class Turn(NamedTuple):
    """At `at` (seconds of the trace) an endpoint turned ready or not ready."""

    at: float
    target: str
    ready: bool
    reason: Reason


class Timeline(NamedTuple):
    """A claim over time: its changes, in order; false before the first."""

    turns: tuple[tuple[float, bool], ...]

    def at(self, at: float) -> bool:
        """Whether it holds at a time."""
        holds = False
        for turned, after in self.turns:
            if turned > at:
                break
            holds = after
        return holds


class Outcome(NamedTuple):
    """What a judge said over one trace."""

    turns: tuple[Turn, ...]
    ready: Timeline
    """Of all endpoints together, as `/health` says it."""
    live: Timeline
    """As `/live` says it."""
    canaries: int
    until: float
    """The length of the trace in seconds."""
    settles: float
    """Seconds after the end of a fault for which a canary's outcome may still speak of it."""

    @property
    def answers(self) -> Answers:
        """What probes would have been answered; the status process takes milliseconds."""
        return Answers(self.ready.at, self.live.at)


class Detection(NamedTuple):
    """How a fault was met. `delay` and `recovery` are seconds; None: never."""

    fault: Fault
    delay: float | None
    recovery: float | None


class Score(NamedTuple):
    """How well an outcome fits the faults."""

    detections: tuple[Detection, ...]
    false_alarms: tuple[Turn, ...]
    """Turns to not ready while nothing was wrong."""
    flaps: int
    """Turns to not ready beyond the first within one fault."""

    @property
    def delays(self) -> list[float]:
        """Of the faults that were seen."""
        return [one.delay for one in self.detections if one.delay is not None]

    @property
    def median(self) -> float | None:
        """The median delay of the faults that were seen."""
        return median(self.delays) if self.delays else None

    @property
    def worst(self) -> float | None:
        """The longest delay; infinity if a fault was not seen; None without faults."""
        if not self.detections:
            return None
        missed = len(self.delays) < len(self.detections)
        return float("inf") if missed else max(self.delays)


def scored(outcome: Outcome, faults: Sequence[Fault]) -> Score:
    """Compare what was said with what was wrong."""
    detections, flaps = [], 0
    explained: set[Turn] = set()
    for fault in faults:
        turns = [turn for turn in outcome.turns if fault.concerns(turn.target)]
        within = [
            turn
            for turn in turns
            if not turn.ready and fault.begin <= turn.at <= fault.end + outcome.settles
        ]
        explained.update(within)
        already = next((not turn.ready for turn in reversed(turns) if turn.at < fault.begin), False)
        delay = 0.0 if already else None
        if within and not already:
            delay = within[0].at - fault.begin
        flaps += max(len(within) - (not already), 0)
        back = [turn.at for turn in turns if turn.ready and turn.at >= fault.end]
        recovery = back[0] - fault.end if back and delay is not None else None
        detections.append(Detection(fault, delay, recovery))
    alarms = tuple(turn for turn in outcome.turns if not turn.ready and turn not in explained)
    return Score(tuple(detections), alarms, flaps)


class Witnessing:
    """Writes down what follows from the standings of all endpoints, as they change."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self._ready: list[tuple[float, bool]] = []
        self._live: list[tuple[float, bool]] = []
        self._endpoints: dict[EndpointAddress, EndpointHealth] = {}
        self._falls_at: float | None = None

    def saw(self, at: float, address: EndpointAddress, standing: Standing, rules: Rules) -> None:
        """Take a standing that may be another than before."""
        self._pass(at)
        before = self._endpoints.get(address)
        if before is not None and unheard(standing):
            return  # what was said holds until somebody says otherwise
        ready = standing.verdict.ready
        if ready if before is None else ready is not before.standing.verdict.ready:
            self.turns.append(Turn(at, str(address), ready, standing.verdict.reason))
        self._endpoints[address] = EndpointHealth(address, standing, rules, payload=True)
        endpoints = list(self._endpoints.values())
        system = SystemHealth(canaries=True)
        readiness = system.readiness(endpoints, ())
        _note(self._ready, at, holds=readiness.ready)
        _note(self._live, at, holds=system.liveness(endpoints, readiness, now=at).live)
        self._falls_at = system.falls_at(endpoints, now=at)

    def outcome(self, *, canaries: int, until: float, settles: float) -> Outcome:
        """Return what came of it by `until`."""
        self._pass(until)
        ready, live = Timeline(tuple(self._ready)), Timeline(tuple(self._live))
        return Outcome(tuple(self.turns), ready, live, canaries, until, settles)

    def _pass(self, at: float) -> None:
        """Let time pass, which alone can turn liveness."""
        if self._falls_at is not None and self._falls_at <= at:
            _note(self._live, self._falls_at, holds=False)
            self._falls_at = None


def _note(turns: list[tuple[float, bool]], at: float, *, holds: bool) -> None:
    if not turns or turns[-1][1] is not holds:
        turns.append((at, holds))
