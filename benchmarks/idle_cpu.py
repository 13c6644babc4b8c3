"""What does watching cost when nothing happens: 1,000 endpoints, a canary each second each?

Processor time of the whole process tree over 10 s, three times each, in turn: only one worker
runs at a time.
"""

from __future__ import annotations

import sys
import time

import report
from rivals import DYNAMO, OURS, Rival, Worker

REPEATS = 3
ENDPOINTS = 1_000
SECONDS = 10
TARGET = 1.2


def share(rival: Rival) -> float:
    """Percent of one processor."""
    print(f"{rival.name} …", file=sys.stderr)
    with Worker(rival, "--plain", endpoints=ENDPOINTS) as worker:
        worker.until_ready()
        time.sleep(2)
        return 100 * worker.cpu_share(SECONDS)


def canaries_a_second(rival: Rival) -> float:
    """How many canaries the handlers of such a worker are sent in a second."""
    with Worker(rival, endpoints=ENDPOINTS) as worker:
        worker.until_ready()
        before = worker.order("ledger")
        time.sleep(4)
        after = worker.order("ledger")
    asked = len(after["canaries"]) - len(before["canaries"])
    return asked / float(after["now"] - before["now"])


def measure() -> report.Table:
    """Both rivals, in turn."""
    used: dict[str, list[float]] = {OURS.name: [], DYNAMO.name: []}
    for _ in range(REPEATS):
        for rival in (OURS, DYNAMO):
            used[rival.name].append(share(rival))
    ours, theirs = used[OURS.name], used[DYNAMO.name]
    ratio = report.middle(ours) / report.middle(theirs)
    rates = [canaries_a_second(rival) for rival in (OURS, DYNAMO)]
    rows = (
        report.Row(
            (
                "processor, % of one",
                report.spread(ours, "{:.1f}"),
                report.spread(theirs, "{:.1f}"),
                f"{ratio:.2f}×",
            ),
            f"≤ {TARGET}×",
            ratio <= TARGET,
            {"ours": ours, "dynamo": theirs, "ratio": ratio},
        ),
        report.Row(
            (
                "canaries a second",
                *(f"{rate:,.0f}" for rate in rates),
                f"{rates[0] / rates[1]:.2f}×",
            )
        ),
    )
    return report.Table(
        "Processor time at idle: 1,000 endpoints, a canary each second each",
        ("", "Serinus", "Dynamo", "ratio"),
        rows,
        f"Whole process tree over {SECONDS} s, three times each in turn: median (least–greatest).",
    )


if __name__ == "__main__":
    report.main(measure)
