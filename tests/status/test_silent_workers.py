"""The worker's silence, its kinds told apart, while every probe is answered at once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.status.probe import Response, eventually, get
from tests.status.workers import Worker

pytestmark = pytest.mark.end_to_end
Start = Callable[..., Worker]

STALL = 0.4
BUDGET = 2.4
BLOCKED = 5.0
"""Seconds: so long that a busy machine has time to see it."""
ROOM = 1.5
"""Seconds that a busy machine may be late."""


class Prober:
    """Probes as a kubelet does, but incessantly, and remembers how long each answer took."""

    def __init__(self, worker: Worker) -> None:
        self.address = worker.address
        self.took: list[float] = []

    def probe(self, path: str) -> Response:
        """Ask once."""
        start = time.monotonic()
        response = get(self.address, path)
        self.took.append(time.monotonic() - start)
        return response

    def seconds_until(self, path: str, status: int) -> float:
        """Probe until this status is answered; return how long it took."""
        start = time.monotonic()
        assert eventually(lambda: self.probe(path).status == status), f"{path} is never {status}"
        return time.monotonic() - start

    def seen(self) -> Any:
        """What the status process says of the worker."""
        return get(self.address, "/health?verbose").json["details"]["worker"]


def assert_it_shows(prober: Prober, state: str) -> None:
    """Readiness goes with the stall budget, liveness stays until the other, and the cause shows."""
    waited = prober.seconds_until("/health", 503)
    assert STALL - 0.2 <= waited < STALL + ROOM
    assert prober.probe("/live").status == 200
    worker = prober.seen()
    assert (worker["state"], worker["reason"]) == (state, state)
    waited += prober.seconds_until("/live", 503)
    assert BUDGET - 0.2 <= waited < BUDGET + ROOM


def test_a_blocked_loop(start_worker: Start) -> None:
    """`time.sleep` in the event loop: the thread still beats, the loop does not."""
    worker = start_worker()
    prober = Prober(worker)
    worker.order(f"sleep {BLOCKED}")
    assert_it_shows(prober, "loop_blocked")
    assert prober.seconds_until("/health", 200) < BLOCKED - BUDGET + ROOM
    prober.seconds_until("/live", 200)


def test_a_held_gil(start_worker: Start) -> None:
    """A C call that keeps the GIL: nothing in the worker runs, and every probe is fast."""
    worker = start_worker()
    prober = Prober(worker)
    worker.order(f"hold {BLOCKED}")
    assert_it_shows(prober, "process_frozen")
    assert prober.seconds_until("/health", 200) < BLOCKED - BUDGET + ROOM
    took = sorted(prober.took)
    print(f"{len(took)} probes, the slowest took {took[-1] * 1000:.1f} ms")
    # A test machine may be busy; behind the GIL the slowest would take 5 s.
    assert took[len(took) * 9 // 10] <= 0.05
    assert took[-1] < ROOM


def test_a_stopped_process(start_worker: Start) -> None:
    """SIGSTOP is told from a held GIL by the kernel's word."""
    worker = start_worker()
    prober = Prober(worker)
    worker.signal(signal.SIGSTOP)
    try:
        assert_it_shows(prober, "process_stopped")
    finally:
        worker.signal(signal.SIGCONT)
    assert prober.seconds_until("/health", 200) < ROOM
    prober.seconds_until("/live", 200)


def test_a_short_blockage_changes_nothing(start_worker: Start) -> None:
    """Below the budget every probe says what the worker said."""
    worker = start_worker(loop_stall=2.0)
    worker.order("hold 0.5")
    deadline = time.monotonic() + 0.8
    while time.monotonic() < deadline:
        assert get(worker.address, "/health").status == 200


def test_a_blocked_loop_while_loading(start_worker: Start) -> None:
    """A worker that was never ready stays live, however long its loop is blocked."""
    worker = start_worker(armed=False)
    worker.order("hold 3.5")
    deadline = time.monotonic() + 3.4
    while time.monotonic() < deadline:
        assert get(worker.address, "/live").status == 200


def test_a_lease_excuses_liveness(start_worker: Start) -> None:
    """An announced pause costs readiness, not liveness."""
    worker = start_worker()
    worker.order("lease 30")
    worker.order("sleep 4.0")
    assert eventually(lambda: get(worker.address, "/health").status == 503)
    deadline = time.monotonic() + 3.4
    while time.monotonic() < deadline:
        assert get(worker.address, "/live").status == 200


def test_details_survive_the_silence(start_worker: Start) -> None:
    """The worker's last details and metrics are served while it is silent, with their age."""
    worker = start_worker()
    assert eventually(lambda: get(worker.address, "/health?verbose").json["details"].get("model"))
    worker.signal(signal.SIGSTOP)
    assert eventually(lambda: get(worker.address, "/health").status == 503)
    details = get(worker.address, "/health?verbose").json["details"]
    assert details["model"] == "tiny"
    assert details["details_age"] > STALL / 2
    start = time.monotonic()
    assert b"worker_metric 1\n" in get(worker.address, "/metrics").body
    assert time.monotonic() - start < ROOM


def test_a_killed_worker(start_worker: Start) -> None:
    """The first probe after its death knows; all are told for a while, then the port is free."""
    worker = start_worker(linger=3.0)
    worker.kill()
    first = get(worker.address, "/health?verbose")
    assert first.status == 503
    assert first.json["details"]["worker"]["reason"] == "worker_dead"
    assert first.json["endpoints"] == {"generate": "notready"}
    for path in ("/health", "/live", "/metrics"):
        response = get(worker.address, path)
        assert response.status == 503
        assert response.headers["connection"] == "close"
    assert eventually(lambda: not Path(f"/proc/{worker.child_pid}").exists())
    with pytest.raises(ConnectionRefusedError):
        get(worker.address, "/health")


def test_a_killed_workers_port_goes_to_the_next(start_worker: Start) -> None:
    """The next worker waits for the lingering port, and takes it."""
    first = start_worker(linger=0.5)
    first.kill()
    port = int(first.address.rpartition(":")[2])
    second = start_worker(port=port, linger=0.5)
    assert second.address == first.address
    assert get(second.address, "/health").status == 200


def test_a_killed_workers_unix_socket_goes_with_it(start_worker: Start, tmp_path: Path) -> None:
    """The status process removes what its worker no longer can."""
    path = tmp_path / "status.sock"
    worker = start_worker(socket_path=str(path), linger=0.1)
    worker.kill()
    assert eventually(lambda: not path.exists())


def test_signals_to_everyone_leave_it_serving(start_worker: Start) -> None:
    """A service manager ends all processes of a worker; its probes are answered until it goes."""
    worker = start_worker(linger=0.2)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(worker.child_pid, number)
    assert get(worker.address, "/health").status == 200
    worker.kill()
    assert eventually(lambda: not Path(f"/proc/{worker.child_pid}").exists())
