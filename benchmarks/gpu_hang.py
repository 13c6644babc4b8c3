"""When is a CUDA kernel that does not end seen, or one that fails; is full work taken for dead?

Needs a CUDA device, and is run by a Python that has PyTorch: Serinus itself needs nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from select import select
from typing import Self

import probes
import report
from rivals import free_port

HERE = Path(__file__).parent
HANG = 12.0
"""Seconds that a kernel spins."""
BACK = 10.0
USERS, CROWD = 16, 512
LEARNING = 25.0
"""Seconds of work after which it is known how silent it may be."""
CROWDED = 20.0
PACE = 0.02
PATIENCE = 120.0
"""Seconds for an order: to load PyTorch and to make the weights is the first."""
SEEN, SEEN_BUSY, SEEN_ON_LOOP = 3.2, 5.0, 6.5
"""Seconds: a wait and two deadlines; an event loop that stands still is given 5 s."""
RECOVERED, PROBE = 2.0, 0.05
BROKEN, DEAD = 8.0, 2.0


class Device:
    """A worker on the device. Used as a context manager; it ends when its orders do."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DYN_", "SERINUS_"))}
        self._process = subprocess.Popen(
            [sys.executable, HERE / "gpu_worker.py", *options],
            env={
                **kept,
                "PYTHONPATH": f"{HERE.parent / 'src'}:{os.environ.get('PYTHONPATH', '')}",
                "DYN_SYSTEM_HOST": "127.0.0.1",
                "DYN_SYSTEM_PORT": str(self.port),
                "DYN_HEALTH_CHECK_ENABLED": "true",
                "DYN_CANARY_WAIT_TIME": "1",
                "DYN_HEALTH_CHECK_REQUEST_TIMEOUT": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        try:
            self._until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _until_ready(self) -> None:
        self._heard("ready")
        if probes.first(self.port, 200, seconds=30) is None:
            raise RuntimeError("the worker is not ready after 30 s")

    def order(self, text: str) -> float:
        """Give an order, and return when it was carried out."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()
        return self._heard(text)

    def _heard(self, text: str) -> float:
        assert self._process.stdout is not None
        if not select([self._process.stdout], [], [], PATIENCE)[0]:
            raise RuntimeError(f"the worker did not say {text!r} within {PATIENCE:g} s")
        line = self._process.stdout.readline().strip()
        told, _, at = line.rpartition(" ")
        if told != text:
            raise RuntimeError(f"the worker said {line!r}, not {text!r}: {self._process.poll()}")
        return float(at)


def hung(device: Device) -> tuple[float, float, float, list[int]]:
    """Seconds to 503, from the kernel's end to 200, of the worst probe; what /live said."""
    with (
        probes.Watch(device.port, pace=PACE) as health,
        probes.Watch(device.port, "/live", pace=PACE) as live,
    ):
        asked = time.monotonic()
        device.order(f"hang {HANG:g}")
        time.sleep(HANG + BACK)
        ends = device.order("ended")
    answers = health.answers
    seen = next((a.asked_at for a in answers if a.asked_at >= asked and a.status == 503), None)
    after = [a.asked_at for a in answers if a.asked_at >= ends and a.status == 503]
    back = (after[-1] if after else ends) + PACE
    worst = max(a.took for a in [*answers, *live.answers])
    missed = float("inf")
    return (
        missed if seen is None else seen - asked,
        back - ends if answers[-1].status == 200 else missed,
        worst,
        sorted({a.status for a in live.answers}),
    )


def crowded(device: Device, users: int, seconds: float) -> tuple[list[int], float]:
    """What /health said meanwhile, and the seconds of the worst probe."""
    device.order(f"load {users}")
    with probes.Watch(device.port, pace=PACE) as health:
        time.sleep(seconds)
    device.order("rest")
    return sorted({a.status for a in health.answers}), max(a.took for a in health.answers)


def broken(device: Device) -> tuple[float, float, float]:
    """Seconds until /health, and /live, say 200 no more; those of the worst probe."""
    with (
        probes.Watch(device.port, pace=PACE) as health,
        probes.Watch(device.port, "/live", pace=PACE) as live,
    ):
        asked = time.monotonic()
        device.order("break")
        time.sleep(BROKEN)
    found = []
    for watch in (health, live):
        last = max([asked, *(a.asked_at for a in watch.answers if a.status == 200)])
        over = watch.answers[-1].status == 503
        found.append(last - asked + PACE if over else float("inf"))
    return found[0], found[1], max(a.took for a in [*health.answers, *live.answers])


def row(what: str, found: tuple[float, float, float, list[int]], seen: float) -> report.Row:
    """One kernel that did not end."""
    first, back, worst, live = found
    cells = (
        what,
        f"{first:.2f} s",
        f"{back:.2f} s",
        " and ".join(map(str, live)),
        f"{worst * 1000:.0f} ms",
    )
    target = f"≤ {seen:g} s, ≤ {RECOVERED:g} s, 200, ≤ {PROBE * 1000:.0f} ms"
    met = first <= seen and back <= RECOVERED and live == [200] and worst <= PROBE
    return report.Row(cells, target, met, {"seen": first, "back": back, "worst": worst})


def dead(what: str, found: tuple[float, float, float]) -> report.Row:
    """A device that only a new process can use again."""
    ready, live, worst = found
    cells = (what, f"{ready:.2f} s", "never", f"503 after {live:.2f} s", f"{worst * 1000:.0f} ms")
    target = f"≤ {DEAD:g} s, never, 503 ≤ {DEAD:g} s, ≤ {PROBE * 1000:.0f} ms"
    met = ready <= DEAD and live <= DEAD and worst <= PROBE
    return report.Row(cells, target, met, {"ready": ready, "live": live, "worst": worst})


def calm(what: str, found: tuple[list[int], float]) -> report.Row:
    """A device that works."""
    statuses, worst = found
    never = "never" if statuses == [200] else " and ".join(map(str, statuses))
    cells = (what, never, "", "", f"{worst * 1000:.0f} ms")
    met = statuses == [200] and worst <= PROBE
    return report.Row(cells, f"never, ≤ {PROBE * 1000:.0f} ms", met, {"worst": worst})


def measure() -> report.Table:
    """An engine in a thread, and one that steps on the event loop."""
    rows = []
    with Device() as device:
        rows.append(row("idle", hung(device), SEEN))
        rows.append(calm(f"{CROWD} users, no fault", crowded(device, CROWD, CROWDED)))
        device.order(f"load {USERS}")
        time.sleep(LEARNING)
        rows.append(row(f"{USERS} users", hung(device), SEEN_BUSY))
        rows.append(dead(f"{USERS} users, a kernel that fails", broken(device)))
    with Device("--on-loop") as device:
        rows.append(calm(f"on the loop, {USERS} users, no fault", crowded(device, USERS, CROWDED)))
        rows.append(row("on the loop, idle", hung(device), SEEN_ON_LOOP))
    return report.Table(
        f"A CUDA kernel that spins for {HANG:g} s, and one that fails",
        ("", "not ready after", "ready again after its end", "/live", "worst probe"),
        tuple(rows),
        "Canary wait and timeout 1 s, all else default; a probe each 20 ms on /health and /live.",
    )


if __name__ == "__main__":
    report.main(measure)
