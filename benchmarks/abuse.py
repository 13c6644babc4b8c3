"""Does a probe get through while strangers hold connections open?

The worker may have 1,024 descriptors. First 1,500 connections that send nothing, then 500 that
send half a request, and a probe ten times a second meanwhile, each waiting 2 s at most.
"""

from __future__ import annotations

import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import probes
import report
from rivals import DYNAMO, OURS, Rival, Worker, pss

DESCRIPTORS = 1_024
IDLE = 1_500
HALF_OPEN = 500
WATCHED = 15.0
PATIENCE = 2.0
HALF = b"GET /health HTTP/1.1\r\nHost: probe\r\nX-Half: "


@contextmanager
def strangers(port: int, many: int, said: bytes) -> Iterator[list[socket.socket]]:
    """Open so many connections, and say so much on each; those beyond the backlog go on trying."""
    connections = [socket.socket() for _ in range(many)]
    try:
        for connection in connections:
            connection.settimeout(0)
            connection.connect_ex(("127.0.0.1", port))
            time.sleep(0.001)  # a server that accepts at all can keep up with this
        time.sleep(0.5)
        for connection in connections:
            try:
                connection.send(said)
            except OSError:
                continue  # closed already, or not yet accepted
        yield connections
    finally:
        for connection in connections:
            connection.close()


def closed(connections: list[socket.socket]) -> int:
    """How many of them the server has closed, with a last word or without."""
    return sum(map(is_closed, connections))


def is_closed(connection: socket.socket) -> bool:
    """Whether what the server sent ends with the end."""
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def attack(rival: Rival, many: int, said: bytes) -> dict[str, float]:
    """One attack: unanswered probes, the slowest answer, what was closed, memory per stranger."""
    print(f"{rival.name}, {many} …", file=sys.stderr)
    with Worker(rival, descriptors=DESCRIPTORS) as worker:
        worker.until_ready()
        before = sum(map(pss, worker.tree()))
        answers = []
        with strangers(worker.port, many, said) as connections:
            ends_at = time.monotonic() + WATCHED
            while time.monotonic() < ends_at:
                answers.append(probes.ask(worker.port, limit=PATIENCE))
                time.sleep(0.1)
            grown = sum(map(pss, worker.tree())) - before
            ended = closed(connections)
        worker.until_ready()
    good = [answer.took for answer in answers if answer.status == 200]
    return {
        "probes": len(answers),
        "unanswered": len(answers) - len(good),
        "slowest": max(good, default=PATIENCE),
        "closed": ended,
        "grown": grown / 2**20,
    }


def row(what: str, ours: dict[str, float], theirs: dict[str, float]) -> report.Row:
    """One attack on both."""
    shown = [
        f"{seen['unanswered']:.0f} of {seen['probes']:.0f}; {1000 * seen['slowest']:.1f} ms; "
        f"{seen['closed']:.0f} closed; {seen['grown']:+.1f} MiB"
        for seen in (ours, theirs)
    ]
    return report.Row(
        (what, *shown), "all answered", ours["unanswered"] == 0, {"ours": ours, "dynamo": theirs}
    )


def measure() -> report.Table:
    """Both attacks on both rivals."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attacks = {
        f"{IDLE:,} idle connections": (IDLE, b""),
        f"{HALF_OPEN} half requests": (HALF_OPEN, HALF),
    }
    rows = tuple(
        row(what, attack(OURS, many, said), attack(DYNAMO, many, said))
        for what, (many, said) in attacks.items()
    )
    return report.Table(
        f"Probes through a crowd of strangers, with {DESCRIPTORS:,} descriptors",
        ("", "Serinus", "Dynamo"),
        rows,
        f"Probes unanswered (not 200 within {PATIENCE:.0f} s); the slowest answer; strangers' "
        f"connections closed by the server within {WATCHED:.0f} s; growth of memory.",
    )


if __name__ == "__main__":
    report.main(measure)
