"""What becomes of canaries that hang, of two endpoints of one name, of a worker that shuts down?

Not figures but facts, seen in both rivals at the same time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import probes
import report
from rivals import DYNAMO, OURS, Rival, Worker

Seen = TypeVar("Seen")
ENDPOINTS = ("bench.backend_0.endpoint_00000", "bench.backend_1.endpoint_00000")
HANGING = 10.0
NEVER = 8.0
REQUEST = 3.0


def hanging_canaries(rival: Rival) -> tuple[int, int]:
    """How many canaries a hung handler is sent in 10 s, and how many of them are alive then."""
    with Worker(rival) as worker:
        worker.until_ready()
        began = worker.order("show", behaviour="hangs", endpoint=ENDPOINTS[0])["at"]
        time.sleep(HANGING)
        canaries = worker.order("ledger")["canaries"]
    hung = [canary for canary in canaries if canary["asked_at"] >= began]
    return len(hung), sum(canary["ended_at"] is None for canary in hung)


def namesakes(rival: Rival) -> tuple[bool, ...]:
    """Whether a hang is seen of the first, and of the second of two endpoints of one name."""
    seen = []
    with Worker(rival, "--components", "2") as worker:
        worker.until_ready()
        for endpoint in ENDPOINTS:
            worker.order("show", behaviour="hangs", endpoint=endpoint)
            seen.append(probes.first(worker.port, 503, seconds=NEVER) is not None)
            worker.order("show", behaviour="healthy", endpoint=endpoint)
            worker.until_ready()
    return tuple(seen)


def shutdown(rival: Rival) -> tuple[list[int], list[int], int]:
    """While the last request runs: every status on /health and on /live; how it ended."""
    with Worker(rival) as worker:
        worker.until_ready()
        request = {"items": int(REQUEST / 0.1), "every": 0.1}
        worker.order("traffic", endpoint=ENDPOINTS[0], request=request, rate=1 / 3600)
        time.sleep(0.5)
        worker.order("shut_down")
        time.sleep(0.1)
        health: list[int] = []
        live: list[int] = []
        while len(health) < (REQUEST - 1.5) / 0.1:
            health.append(probes.ask(worker.port).status)
            live.append(probes.ask(worker.port, "/live").status)
            time.sleep(0.1)
        return sorted(set(health)), sorted(set(live)), worker.ending(seconds=10)["finished"]


def in_words(statuses: list[int]) -> str:
    """Such as ``503``; a probe that found the port closed is told so."""
    return " and ".join(str(status) if status else "port closed" for status in statuses)


def both(what: Callable[[Rival], Seen]) -> list[Seen]:
    """Of Serinus and of Dynamo, at the same time."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(what, (OURS, DYNAMO)))


def measure() -> report.Table:
    """All three."""
    (sent, alive), (their_sent, their_alive) = both(hanging_canaries)
    ours_named, theirs_named = both(namesakes)
    ours_end, theirs_end = both(shutdown)
    rows = (
        report.Row(
            ("hung handler: canaries sent in 10 s", str(sent), str(their_sent)),
        ),
        report.Row(
            ("… of them still alive in the handler", str(alive), str(their_alive)),
            "≤ 1",
            alive <= 1,
        ),
        report.Row(
            (
                "two components, one endpoint name: hang of the first / second seen",
                " / ".join("yes" if seen else "never" for seen in ours_named),
                " / ".join("yes" if seen else "never" for seen in theirs_named),
            ),
            "yes / yes",
            all(ours_named),
        ),
        report.Row(
            (
                "shutdown while a request runs: /health",
                in_words(ours_end[0]),
                in_words(theirs_end[0]),
            ),
            "503",
            ours_end[0] == [503],
        ),
        report.Row(
            (
                "shutdown while a request runs: /live",
                in_words(ours_end[1]),
                in_words(theirs_end[1]),
            ),
            "200",
            ours_end[1] == [200],
        ),
        report.Row(
            ("… that request finished", str(ours_end[2] == 1), str(theirs_end[2] == 1)),
            "True",
            ours_end[2] == 1,
        ),
    )
    return report.Table(
        "Canaries that hang, endpoints of one name, a worker that shuts down",
        ("", "Serinus", "Dynamo"),
        rows,
        'Canary wait and timeout 1 s. "Never": not in 8 s.',
    )


if __name__ == "__main__":
    report.main(measure)
