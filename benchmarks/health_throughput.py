"""How many requests for /health are answered in a second, as endpoints are added?

wrk keeps 16 connections busy for 2 s, five times against each rival in turn, both serving all
the while. The load generator and the server share the machine.

wrk stays on one processor. Serinus answers from one thread, which stays on another, as it comes to
on an idle machine; on a busy one the scheduler puts two that talk to each other on the same, and
leaves the other to strangers. Dynamo answers from as many threads as there are processors, and may
use all: so it was fastest here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field

import probes
import report
from rivals import DYNAMO, OURS, Rival, Worker

TARGETS = {1: 0.6, 100: 4.0, 1_000: 20.0}
ALL = os.sched_getaffinity(0)
OF_WRK = {max(ALL)} if len(ALL) > 1 else ALL
OF_THE_STATUS_PROCESS = ALL - OF_WRK or ALL
REPEATS = 5
SECONDS = 2


@dataclass(slots=True)
class Served:
    """What one rival did at one number of endpoints."""

    body: int = 0
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Processor microseconds a request, of the whole process tree."""

    def load(self, worker: Worker) -> None:
        """One round of load."""
        before = worker.cpu_seconds()
        rate = requests_a_second(worker.port)
        self.rates.append(rate)
        self.cpu.append((worker.cpu_seconds() - before) / (rate * SECONDS) * 1e6)


def requests_a_second(port: int) -> float:
    """What wrk counts; an answer that is not 200 stops the run."""
    command = ["wrk", "-t1", "-c16", f"-d{SECONDS}s", f"http://127.0.0.1:{port}/health"]
    os.sched_setaffinity(0, OF_WRK)  # which inherits it
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    finally:
        os.sched_setaffinity(0, ALL)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if rate is None or "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"wrk on port {port}:\n{output}")
    return float(rate[1])


def serve(rival: Rival, endpoints: int) -> Worker:
    """A worker with that many endpoints, ready at once: canaries are off, not to disturb."""
    return Worker(rival, "--plain", endpoints=endpoints, canaries=False)


def compare(endpoints: int) -> tuple[Served, Served]:
    """Both rivals, in turn, at one number of endpoints."""
    ours, theirs = Served(), Served()
    with serve(OURS, endpoints) as our_worker, serve(DYNAMO, endpoints) as their_worker:
        pairs = ((ours, our_worker), (theirs, their_worker))
        for served, worker in pairs:
            worker.until_ready(120)
            served.body = len(probes.ask(worker.port).body)
        _, status_process = our_worker.tree()
        os.sched_setaffinity(status_process, OF_THE_STATUS_PROCESS)
        for _ in range(REPEATS):
            for served, worker in pairs:
                served.load(worker)
    return ours, theirs


def ratio_of(ours: Served, theirs: Served) -> float:
    """The median of the rounds' ratios: what slows the machine down slows both of a round."""
    return report.middle([a / b for a, b in zip(ours.rates, theirs.rates, strict=True)])


def cells(what: str, ours: Served, theirs: Served) -> tuple[str, ...]:
    """One line of the table."""
    ratio = ratio_of(ours, theirs)
    return (
        what,
        f"{ours.body:,} / {theirs.body:,}",
        report.spread(ours.rates),
        report.spread(theirs.rates),
        f"{ratio:.2f}×",
        f"{report.middle(ours.cpu):.1f} / {report.middle(theirs.cpu):.1f}",
    )


def measure() -> report.Table:
    """All numbers of endpoints; the last against our own figure at the one before."""
    rows, at = [], {}
    for endpoints in (*TARGETS, 10_000):
        print(f"{endpoints} endpoints …", file=sys.stderr)
        ours, theirs = compare(endpoints)
        at[endpoints] = ours
        rate, ratio = report.middle(ours.rates), ratio_of(ours, theirs)
        if endpoints in TARGETS:
            target, met = f"≥ {TARGETS[endpoints]}×", ratio >= TARGETS[endpoints]
        else:
            floor = report.middle(at[1_000].rates) * at[1_000].body / ours.body
            target, met = f"≥ {floor:,.0f}/s (ours at 1,000 ÷ growth of the body)", rate >= floor
        figures = {"ours": ours.rates, "dynamo": theirs.rates, "ratio": ratio}
        rows.append(report.Row(cells(f"{endpoints:,}", ours, theirs), target, met, figures))
    columns = (
        "endpoints",
        "body, bytes",
        "Serinus, req/s",
        "Dynamo, req/s",
        "ratio",
        "CPU µs/request",
    )
    return report.Table(
        "Requests for /health a second, 16 connections",
        columns,
        tuple(rows),
        "wrk -t1 -c16 -d2s, five rounds in turn: median (least–greatest); the ratio is the median "
        "of the rounds' ratios. wrk was kept on one processor, Serinus' one thread on another; "
        "Dynamo's threads were free to use all.",
    )


if __name__ == "__main__":
    report.main(measure)
