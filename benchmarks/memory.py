"""What does the status process weigh, and what does one more endpoint with a canary?

Proportional set size of whole process trees, from the kernel. A further endpoint is the
difference between workers of 100 and of 1,100 endpoints, each after its canaries have been
answered, divided by 1,000. Three of each, in turn.
"""

from __future__ import annotations

import sys
import time

import report
from rivals import DYNAMO, OURS, Rival, Worker, pss

REPEATS = 3
FEW, MANY = 100, 1_100
STATUS_PROCESS = 8 * 2**20
ENDPOINT = 6_000


def weigh(rival: Rival, endpoints: int) -> tuple[int, int]:
    """Bytes of the worker and of what runs beside it, after a few rounds of canaries."""
    with Worker(rival, "--plain", endpoints=endpoints) as worker:
        worker.until_ready()
        time.sleep(4)
        itself, *beside = (pss(pid) for pid in worker.tree())
        return itself, sum(beside)


def measure() -> report.Table:
    """Both rivals, few and many endpoints."""
    a_worker: dict[str, list[float]] = {OURS.name: [], DYNAMO.name: []}
    status: list[float] = []
    further: dict[str, list[float]] = {OURS.name: [], DYNAMO.name: []}
    for _ in range(REPEATS):
        for rival in (OURS, DYNAMO):
            print(f"{rival.name} …", file=sys.stderr)
            few, many = weigh(rival, FEW), weigh(rival, MANY)
            a_worker[rival.name].append(sum(few))
            further[rival.name].append((sum(many) - sum(few)) / (MANY - FEW))
            if rival is OURS:
                status += [few[1], many[1]]
    return report.Table(
        "Memory of the status process, and of a further endpoint with its canary",
        ("", "Serinus", "Dynamo", "ratio"),
        (
            report.Row(
                (
                    "status process, MiB",
                    report.spread([s / 2**20 for s in status], "{:.1f}"),
                    "-",
                    "",
                ),
                f"≤ {STATUS_PROCESS / 2**20:.0f} MiB",
                max(status) <= STATUS_PROCESS,
                {"ours": status},
            ),
            compared("a further endpoint, kB", further, 1000, ENDPOINT),
            compared(f"whole worker with {FEW} endpoints, MiB", a_worker, 2**20, None),
        ),
        "Proportional set size: median (least–greatest). The status process with "
        f"{FEW} and with {MANY} endpoints.",
    )


def compared(
    what: str, weights: dict[str, list[float]], unit: int, target: int | None
) -> report.Row:
    """One line; the target is in bytes."""
    ours, theirs = weights[OURS.name], weights[DYNAMO.name]
    ratio = report.middle(ours) / report.middle(theirs)
    shown = [report.spread([w / unit for w in figures], "{:.1f}") for figures in (ours, theirs)]
    cells = (what, *shown, f"{ratio:.2f}×")
    figures = {"ours": ours, "dynamo": theirs, "ratio": ratio}
    if target is None:
        return report.Row(cells, figures=figures)
    met = report.middle(ours) <= target
    return report.Row(cells, f"≤ {target / unit:g} kB", met, figures)


if __name__ == "__main__":
    report.main(measure)
