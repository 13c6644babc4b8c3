"""Which faults are seen, how soon after they begin, and how soon is their end seen?

One worker of each rival, canary wait and timeout 1 s, all running at the same time. A fault is
switched on at five phases of the canary's cycle (0.1, 0.3 … 0.9 s after a canary was asked), the
same for each rival, and off again; /health is asked every 10 ms. "Never" is not within 8 s, twice.

Serinus runs twice: with thresholds of 1, which is Dynamo's only behaviour and what detection
is held against, and with its defaults, which ask a second time before they turn.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import probes
import report
from rivals import DYNAMO, OURS, OURS_AT_ONCE, Worker

PHASES = (0.1, 0.3, 0.5, 0.7, 0.9)
NEVER = 8.0
ENOUGH = 2
ENDPOINT = "bench.backend_0.endpoint_00000"
# Serinus' budget for work that stands still; this release of Dynamo does not know it.
STALL = {"DYN_HEALTH_CHECK_BUSY_STALL": "3"}
RIVALS = (OURS_AT_ONCE, OURS, DYNAMO)

FAULTS = {
    "hangs": "hangs before the first item",
    "raises": "raises",
    "yields_nothing": "yields nothing",
    "is_slow": "1.2 s to the first item",
    "yields_an_error": "yields an error",
    "yields_an_error_finish_reason": "yields an error finish reason",
    "yields_an_error_event": "yields an annotated error event",
    "one_item_then_hangs": "one item, then hangs",
    "one_item_then_raises": "one item, then raises",
}
TRAFFIC = {
    "healthy": "good",
    "yields_nothing": "answered with nothing",
    "one_item_then_hangs": "one item, then hangs",
}

# Timing is by polling every 10 ms from threads of one process: less than this is not a difference.
RESOLUTION = 0.05


@dataclass(frozen=True, slots=True)
class Trial:
    """Seconds until a fault, and then its end, showed on /health; nothing for never."""

    seen: float | None
    back: float | None


def trial(worker: Worker, fault: str, phase: float, *, rate: float = 0) -> Trial:
    """One fault from beginning to end, under traffic of ``rate`` requests a second."""
    if rate:
        worker.order("traffic", endpoint=ENDPOINT, request={}, rate=rate)
        time.sleep(1 + phase)  # traffic postpones canaries: there is no cycle to keep step with
    on = worker.order("show", behaviour=fault, endpoint=ENDPOINT, phase=None if rate else phase)
    bad = probes.first(worker.port, 503, seconds=NEVER)
    time.sleep(phase)
    off = worker.order("show", behaviour="healthy", endpoint=ENDPOINT)
    good = None if bad is None else probes.first(worker.port, 200, seconds=NEVER)
    if rate:
        worker.order("stop_traffic")
    worker.until_ready()
    time.sleep(1.2)  # canaries that were left behind end, and the cycle finds its pace
    return Trial(after(on["at"], bad), after(off["at"], good))


def after(at: float, answer: probes.Answer | None) -> float | None:
    """How long after a moment the answer was asked for; nothing if it never came."""
    return None if answer is None else answer.asked_at - at


class Bench:
    """One running worker of each rival, and the pool that asks them at the same time."""

    def __init__(self, stack: ExitStack) -> None:
        self._workers = [stack.enter_context(Worker(rival, environ=STALL)) for rival in RIVALS]
        self._pool = stack.enter_context(ThreadPoolExecutor(len(RIVALS)))
        for worker in self._workers:
            worker.until_ready()

    def trials(self, fault: str, *, rate: float = 0) -> list[list[Trial]]:
        """All phases of a fault: for each rival a list of trials, in the order of ``RIVALS``."""
        print(f"{fault}{' under traffic' if rate else ''} …", file=sys.stderr)
        return list(self._pool.map(partial(all_phases, fault=fault, rate=rate), self._workers))


def all_phases(worker: Worker, *, fault: str, rate: float) -> list[Trial]:
    """One trial a phase; after ``ENOUGH`` that saw nothing, the rest are spared."""
    trials: list[Trial] = []
    for phase in PHASES:
        trials.append(trial(worker, fault, phase, rate=rate))
        if len(trials) == ENOUGH and all(one.seen is None for one in trials):
            break
    return trials


def seconds(figures: list[float | None]) -> str:
    """Median with least and greatest; or how many of them were never."""
    seen = [figure for figure in figures if figure is not None]
    if not seen:
        return "never"
    shown = report.spread(seen, "{:.2f}")
    return shown if len(seen) == len(figures) else f"{shown}, {len(figures) - len(seen)} never"


def late(ours: list[Trial], theirs: list[Trial]) -> bool:
    """Whether we saw the fault later than Dynamo did, by the medians, or not every time."""
    if any(one.seen is None for one in ours):
        return True
    if any(one.seen is None for one in theirs):
        return False
    mine = report.middle([one.seen for one in ours if one.seen is not None])
    other = report.middle([one.seen for one in theirs if one.seen is not None])
    return mine > other + RESOLUTION


def row(what: str, trials: list[list[Trial]]) -> report.Row:
    """One fault: detection and recovery of all three, held against Dynamo's detection."""
    at_once, _, theirs = trials
    return report.Row(
        (
            what,
            *(seconds([one.seen for one in each]) for each in trials),
            *(seconds([one.back for one in each]) for each in trials),
        ),
        "seen, no later",
        not late(at_once, theirs) and all(one.seen is not None for one in trials[1]),
        {
            rival.name: [[one.seen, one.back] for one in each]
            for rival, each in zip(RIVALS, trials, strict=True)
        },
    )


def false_alarm_row(what: str, trials: list[list[Trial]]) -> report.Row:
    """Traffic without a fault: nothing must be seen."""
    alarms = [sum(one.seen is not None for one in each) for each in trials]
    shown = tuple(f"{n} false alarms" if n else "no false alarm" for n in alarms)
    return report.Row((what, *shown, "", "", ""), "no false alarm", not any(alarms[:2]))


def measure() -> report.Table:
    """All faults, idle and under traffic."""
    with ExitStack() as stack:
        bench = Bench(stack)
        rows = [row(what, bench.trials(fault)) for fault, what in FAULTS.items()]
        for fault, what in TRAFFIC.items():
            line = false_alarm_row if fault == "healthy" else row
            rows.append(line(f"traffic 10/s: {what}", bench.trials(fault, rate=10)))
    return report.Table(
        "Faults: seconds until they are seen, and until their end is seen",
        (
            "the handler",
            "seen: Serinus, thresholds 1",
            "Serinus, defaults",
            "Dynamo",
            "back: Serinus, thresholds 1",
            "Serinus, defaults",
            "Dynamo",
        ),
        tuple(rows),
        "Canary wait and timeout 1 s, stall budget 3 s. "
        "Five phases of the canary's cycle: median (least–greatest). "
        f'"Never": not in {NEVER:.0f} s, twice. "No later": the median with thresholds of 1 '
        f"against Dynamo's, to {1000 * RESOLUTION:.0f} ms; with the defaults, seen every time.",
    )


if __name__ == "__main__":
    report.main(measure)
