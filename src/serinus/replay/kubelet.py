"""What a kubelet would have done: startup, liveness and readiness probes over a recorded time.

Pure: the answers go in, restarts and the pod's readiness come out. Semantics are those of the
Kubernetes documentation ("Configure Liveness, Readiness and Startup Probes", "Pod Lifecycle"): a
container that starts is probed after `delay` and then every `period` seconds; so many failures in a
row fail a probe, so many successes in a row pass it; until a startup probe has passed there is no
other. A restart waits 10 s, 20 s, … at most 300 s after the first one, and no longer after 600 s of
running. It is assumed that what runs after a restart behaves as was recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Answers", "Kubernetes", "Probe", "Probes", "kubelet"]

_BACKOFF, _LONGEST_BACKOFF, _FORGIVEN = 10.0, 300.0, 600.0


class Probe(NamedTuple):
    """The numbers of one probe, in seconds and in a row; the defaults are Kubernetes'."""

    period: float = 10.0
    timeout: float = 1.0
    failures: int = 3
    successes: int = 1
    delay: float = 0.0


class Probes(NamedTuple):
    """The probes of a container; None where it has none."""

    liveness: Probe | None = Probe()
    readiness: Probe | None = Probe()
    startup: Probe | None = None


class Answers(NamedTuple):
    """What the paths would have answered at a time: whether 200, and after how many seconds."""

    ready: Callable[[float], bool]
    live: Callable[[float], bool]
    seconds: Callable[[float], float] = lambda _at: 0.0


class Kubernetes(NamedTuple):
    """What follows: when containers were restarted, and when the pod was ready or not."""

    restarts: tuple[float, ...]
    turns: tuple[tuple[float, bool], ...]
    """Changes of the pod's readiness; it begins not ready."""


class _Count:
    """Failures and successes in a row of one probe."""

    def __init__(self, probe: Probe, *, passing: bool) -> None:
        self.probe = probe
        self.passing = passing
        self._row = 0

    def take(self, *, good: bool) -> bool:
        """Take an answer; return whether the probe passes now."""
        if good is self.passing:
            self._row = 0
            return self.passing
        self._row += 1
        if self._row >= (self.probe.successes if good else self.probe.failures):
            self.passing, self._row = good, 0
        return self.passing


def kubelet(answers: Answers, probes: Probes, *, until: float) -> Kubernetes:
    """Run the probes from 0 s to `until`."""
    restarts: list[float] = []
    turns: list[tuple[float, bool]] = []
    began, backoff = 0.0, 0.0
    while began <= until:
        ended = _container(answers, probes, began, until, turns)
        if ended is None:
            break
        restarts.append(ended)
        if turns and turns[-1][1]:
            turns.append((ended, False))
        if ended - began > _FORGIVEN:
            backoff = 0.0
        began = ended + backoff
        backoff = min(max(backoff * 2, _BACKOFF), _LONGEST_BACKOFF)
    return Kubernetes(tuple(restarts), tuple(turns))


def _container(
    answers: Answers, probes: Probes, began: float, until: float, turns: list[tuple[float, bool]]
) -> float | None:
    """Run one life of the container; return when it is ended, None if it is not."""
    started = began
    if probes.startup is not None:
        passed = _startup(answers, probes.startup, began, until)
        if passed is None:
            return None
        if not passed[1]:
            return passed[0]
        started = passed[0]
    live = None if probes.liveness is None else _Count(probes.liveness, passing=True)
    ready = None if probes.readiness is None else _Count(probes.readiness, passing=False)
    if ready is None:
        turns.append((started, True))
    due = [
        (max(began + count.probe.delay, started), order, count)
        for order, count in enumerate((live, ready))
        if count is not None
    ]
    while due:
        at, order, count = min(due)
        if at > until:
            return None
        due.remove((at, order, count))
        due.append((at + count.probe.period, order, count))
        good = (answers.live if count is live else answers.ready)(at)
        was = count.passing
        now = count.take(good=good and answers.seconds(at) <= count.probe.timeout)
        if count is live and not now:
            return at
        if count is ready and now is not was:
            turns.append((at, now))
    return None


def _startup(
    answers: Answers, probe: Probe, began: float, until: float
) -> tuple[float, bool] | None:
    """Run the startup probe against readiness; return when it passed or failed."""
    failed, at = 0, began + probe.delay
    while at <= until:
        if answers.ready(at) and answers.seconds(at) <= probe.timeout:
            return at, True
        failed += 1
        if failed >= probe.failures:
            return at, False
        at += probe.period
    return None
