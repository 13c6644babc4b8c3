"""Is a busy engine taken for a dead one, and do canaries pile up behind its work?

An engine with a single slot serves one request of 6 s to its first token. /health is asked 20
times a second for 25 s from the start of the request. Three times, both rivals at once.

A canary counts as queued if it was asked while the request held the slot, and as left behind if
it got the slot later than 0.5 s after it was asked, when nobody waits for it any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import report
from probes import polled
from rivals import DYNAMO, OURS, Rival, Worker

REPEATS = 3
FIRST_TOKEN = 6.0
WATCHED = 25.0
LATE = 0.5
ENDPOINT = "bench.backend_0.endpoint_00000"


@dataclass(frozen=True, slots=True)
class Seen:
    """One rival's answers and canaries."""

    answers: int
    unready: int
    unready_until: float
    """Seconds from the start of the request to the last 503, 0 if there was none."""
    queued: int
    late: int


def watch(rival: Rival) -> Seen:
    """Send the one request, and look on."""
    with Worker(rival, "--slots", "1") as worker:
        worker.until_ready()
        time.sleep(2.5)  # so that the client exists and canaries have found their pace
        request = {"first": FIRST_TOKEN, "items": 1}
        # At a rate of one in an hour: that is, once.
        began = worker.order("traffic", endpoint=ENDPOINT, request=request, rate=1 / 3600)["at"]
        answers = list(polled(worker.port, pace=0.05, seconds=WATCHED))
        canaries = worker.order("ledger")["canaries"]
    unready = [answer.asked_at - began for answer in answers if answer.status != 200]
    since = [canary for canary in canaries if canary["asked_at"] > began]
    return Seen(
        len(answers),
        len(unready),
        max(unready, default=0.0),
        sum(canary["asked_at"] < began + FIRST_TOKEN for canary in since),
        sum(
            (canary["began_at"] or began + WATCHED) - canary["asked_at"] > LATE for canary in since
        ),
    )


def measure() -> report.Table:
    """Both rivals, at the same time: the engine only sleeps."""
    ours: list[Seen] = []
    theirs: list[Seen] = []
    with ThreadPoolExecutor() as pool:
        for _ in range(REPEATS):
            ours_now, theirs_now = pool.map(watch, (OURS, DYNAMO))
            ours.append(ours_now)
            theirs.append(theirs_now)

    def line(what: str, figure: Callable[[Seen], float]) -> report.Row:
        of_ours, of_theirs = [figure(seen) for seen in ours], [figure(seen) for seen in theirs]
        cells = (what, *(", ".join(f"{f:g}" for f in figures) for figures in (of_ours, of_theirs)))
        return report.Row(cells, "0", not any(of_ours), {"ours": of_ours, "dynamo": of_theirs})

    return report.Table(
        "A one-slot engine with 6 s to its first token",
        ("", "Serinus", "Dynamo"),
        (
            line(
                f"503s, of {min(seen.answers for seen in ours)} probes", lambda seen: seen.unready
            ),
            line("the last 503, s after the request", lambda seen: round(seen.unready_until, 1)),
            line("canaries queued behind the work", lambda seen: seen.queued),
            line("canaries that took the slot when nobody waited", lambda seen: seen.late),
        ),
        "Canary wait 1 s, canary timeout 1 s; each of three runs was watched for 25 s.",
    )


if __name__ == "__main__":
    report.main(measure)
