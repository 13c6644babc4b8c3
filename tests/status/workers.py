"""A worker in a process of its own, with a status port, that does what it is told.

Run as a program it is the worker; imported, `Worker` starts one. Orders are lines on its standard
input: `sleep S` blocks the event loop, `hold S` holds the GIL in a C call, `lease S` takes a
lease, `close` closes the status port.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from serinus.status import StatusConfig, SystemStatusServer, endpoints_json

ROOT = Path(__file__).parents[2]


class Worker:
    """The test's hold on a worker process."""

    def __init__(self, *, descriptors: int | None = None, **config: Any) -> None:
        settings = {"host": "127.0.0.1", "loop_stall": 0.4, "loop_budget": 2.4, "linger": 3.0}
        command = [sys.executable, "-m", "tests.status.workers", json.dumps(settings | config)]
        if descriptors is not None:
            command = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *command]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline())
        self.address: str = told["address"]
        self.child_pid: int = told["child_pid"]

    def order(self, text: str) -> None:
        """Give the worker an order."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        """Send the worker a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the worker, and wait until it is dead."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Kill the worker and let go of it."""
        self.kill()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()


def hold_the_gil(seconds: float) -> None:
    """Sleep in a C call that keeps the GIL, as a badly written extension does."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


async def work(config: dict[str, Any]) -> None:
    """Be the worker until standard input ends."""
    armed = config.pop("armed", True)
    server = SystemStatusServer(StatusConfig(**config))
    server.publish(
        ready=True,
        live=True,
        reason="told",
        endpoints=endpoints_json({"generate": "ready"}),
        armed=armed,
    )
    server.start()
    loop = asyncio.get_running_loop()
    server.attach(loop, metrics=lambda: b"worker_metric 1\n", details=lambda: b'{"model":"tiny"}')
    print(json.dumps({"address": server.address, "child_pid": server.child_pid}), flush=True)
    ended = asyncio.Event()

    def listen() -> None:
        for line in sys.stdin:
            order, _, seconds = line.strip().partition(" ")
            if order == "sleep":
                loop.call_soon_threadsafe(time.sleep, float(seconds))
            elif order == "hold":
                loop.call_soon_threadsafe(hold_the_gil, float(seconds))
            elif order == "lease":
                server.lease_until(time.monotonic() + float(seconds))
            elif order == "close":
                loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=listen, daemon=True).start()
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(work(json.loads(sys.argv[1])))
