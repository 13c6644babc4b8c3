"""How does a frontend do over 10,000 instances in etcd, and over 100,000 in a simulated store?

A real etcd holds the fleet; another process changes 100 instances a second, all the while. wrk asks
the frontend; the stream of changes says when a change can be seen. For 100,000 the store is memory
in the frontend's own process, as what is measured is the frontend. Everything shares the machine,
with whatever else runs there: there are many short rounds, and the best of them is what is judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import report

HERE = Path(__file__).parent
CHANGES = 100
"""A second."""
SECONDS = 2
REPEATS = 10
STARTS = 4
PATIENCE = 120.0
RATE, ALL, SEEN, BYTES, START = 5_000.0, 20.0, 100.0, 3_000.0, 2.0
"""Targets: requests/s, ms, ms, bytes an instance, seconds."""


@dataclass(slots=True)
class Found:
    """What one fleet came to."""

    instances: int
    starts: list[float] = field(default_factory=list)
    start_cpu: list[float] = field(default_factory=list)
    """Seconds of the processor until the view was complete."""
    memory: float = 0.0
    body: int = 0
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Microseconds of the processor a request, without instances and with."""
    cpu_all: list[float] = field(default_factory=list)
    p99_all: list[float] = field(default_factory=list)
    rate_all: list[float] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    """The 99th percentile of each round."""


class Frontend:
    """A frontend as a process, and what can be read of it from outside."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            command, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if match := re.search(r"on http://127\.0\.0\.1:(\d+)", line):
                self.port, self.said = int(match[1]), line
                break
        else:
            raise SystemExit("the frontend did not start")

    def details(self) -> dict[str, Any]:
        """What it tells this machine."""
        told: dict[str, Any] = json.loads(get(self.port, "/health?verbose"))
        details: dict[str, Any] = told["details"]
        return details

    def until_listed(self, count: int) -> float:
        """Wait until it lists so many; return the seconds since it was started."""
        while self.details()["listed"] < count:
            if time.monotonic() - self.began > PATIENCE:
                raise SystemExit(f"not {count} instances: {self.details()}")
            time.sleep(0.05)
        return time.monotonic() - self.began

    def resident(self) -> int:
        """Bytes of memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        assert found is not None
        return int(found[1]) * 1024

    def cpu(self) -> float:
        """Seconds of the processor so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def get(port: int, path: str) -> bytes:
    """The body of one request."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        whole = b"".join(iter(lambda: connection.recv(1 << 20), b""))
    return whole.partition(b"\r\n\r\n")[2]


def wrk(port: int, path: str, *, connections: int) -> tuple[float, float]:
    """Requests a second, and the 99th percentile of their latency in milliseconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--latency", "--timeout", "30s"]
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True
    ).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    late = re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    if rate is None or late is None or "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(f"wrk on {path}:\n{output}")
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}[late[2]]
    return float(rate[1]), float(late[1]) * scale


async def seen_after(port: int, seconds: float) -> list[float]:
    """The milliseconds from each change until the stream had it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 28)
    writer.write(b"GET /events?instances=true HTTP/1.1\r\nHost: x\r\n\r\n")
    took: list[float] = []
    ends = time.monotonic() + PATIENCE
    counted = time.monotonic_ns() + int(1e12)
    """From when on changes count: once the reader has all that was there before."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds + 30):
            await reader.readuntil(b"\r\n\r\n")
            text = b""
            while time.monotonic() < ends:
                size = int(await reader.readuntil(b"\r\n"), 16)
                text += (await reader.readexactly(size + 2))[:-2]
                if not text.endswith(b"\n\n"):
                    continue
                now = time.monotonic()
                if b"event: state" in text:
                    counted = time.monotonic_ns()
                    ends = now + seconds
                else:
                    stamps = (int(stamp) for stamp in re.findall(rb"/changed/(\d+)", text))
                    took += [(now * 1e9 - at) / 1e6 for at in stamps if at > counted]
                text = b""
    writer.close()
    return took


def ask(frontend: Frontend, found: Found) -> None:
    """Ask the same questions of one fleet."""
    found.body = len(get(frontend.port, "/health"))
    for _ in range(REPEATS):
        found.seen.append(p99(asyncio.run(seen_after(frontend.port, SECONDS))))
        before = frontend.cpu()
        rate, _ = wrk(frontend.port, "/health?instances=false", connections=16)
        found.rates.append(rate)
        found.cpu.append((frontend.cpu() - before) / (rate * SECONDS) * 1e6)
        before = frontend.cpu()
        rate, late = wrk(frontend.port, "/health", connections=1)
        found.cpu_all.append((frontend.cpu() - before) / (rate * SECONDS) * 1e6)
        found.rate_all.append(rate)
        found.p99_all.append(late)


@contextlib.contextmanager
def etcd() -> Iterator[str]:
    """A real etcd of one node."""
    with tempfile.TemporaryDirectory() as place:
        ports = [free_port(), free_port()]
        client, peer = (f"http://127.0.0.1:{port}" for port in ports)
        process = subprocess.Popen(
            [
                *("etcd", "--data-dir", place, "--name", "one", "--log-level", "error"),
                *("--listen-client-urls", client, "--advertise-client-urls", client),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--initial-cluster", f"one={peer}"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            ends = time.monotonic() + 20
            while True:
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(("127.0.0.1", ports[0])),
                ):
                    break
                if time.monotonic() > ends:
                    raise SystemExit("etcd does not answer")
                time.sleep(0.05)
            yield client
        finally:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port


def over_etcd(instances: int) -> Found:
    """A frontend over etcd."""
    found = Found(instances)
    with etcd() as place:
        env = {
            "DYN_DISCOVERY_BACKEND": "etcd",
            "ETCD_ENDPOINTS": place,
            "SERINUS_OUTSIDE_INTERVAL": "0",
            "DYN_HTTP_PORT": "0",
            "DYN_HTTP_HOST": "127.0.0.1",
        }
        command = [sys.executable, "-m", "serinus", "frontend"]
        empty = Frontend(command, env)
        empty.until_listed(0)
        time.sleep(1)
        bare = empty.resident()
        empty.end()
        load = subprocess.Popen(
            [sys.executable, HERE / "fleet_load.py", str(instances), str(CHANGES)],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert load.stdout is not None
        try:
            load.stdout.readline()
            for _ in range(STARTS - 1):
                frontend = Frontend(command, env)
                found.starts.append(frontend.until_listed(instances))
                found.start_cpu.append(frontend.cpu())
                frontend.end()
            frontend = Frontend(command, env)
            found.starts.append(frontend.until_listed(instances))
            found.start_cpu.append(frontend.cpu())
            get(frontend.port, "/health")
            time.sleep(2)
            found.memory = (frontend.resident() - bare) / instances
            ask(frontend, found)
            frontend.end()
        finally:
            load.kill()
            load.wait()
    return found


def in_memory(instances: int) -> Found:
    """A frontend with the store in its own process."""
    found = Found(instances)
    command = [sys.executable, str(HERE / "fleet_memory.py"), str(instances), str(CHANGES)]
    empty = Frontend([*command[:2], "0", "0"], {})
    time.sleep(1)
    bare = empty.resident()
    empty.end()
    frontend = Frontend(command, {})
    took, processor = re.findall(r"([\d.]+) s", frontend.said)
    found.starts, found.start_cpu = [float(took)], [float(processor)]
    get(frontend.port, "/health")
    time.sleep(2)
    found.memory = (frontend.resident() - bare) / instances
    ask(frontend, found)
    frontend.end()
    return found


def p99(values: list[float]) -> float:
    """The 99th percentile."""
    return sorted(values)[max(int(len(values) * 0.99) - 1, 0)] if values else float("nan")


def rows_of(name: str, found: Found, *, targets: bool) -> Iterator[report.Row]:
    """One row a figure."""

    def row(what: str, told: str, target: str, met: bool, figure: float) -> report.Row:  # noqa: FBT001
        figures = {"value": figure}
        if not targets:
            return report.Row((name, what, told), figures=figures)
        return report.Row((name, what, told), target, met, figures)

    start, rate = min(found.starts), max(found.rates)
    late, seen = min(found.p99_all), min(found.seen)
    yield row(
        "start to complete view",
        f"{start:.2f} s ({report.middle(found.starts):.2f}); {min(found.start_cpu):.2f} s of CPU",
        "≤ 2 s",
        start <= START,
        start,
    )
    memory = found.memory
    yield row("memory an instance", f"{memory:,.0f} bytes", "≤ 3 kB", memory <= BYTES, memory)
    yield row(
        "`/health?instances=false`, 16 connections",
        f"{rate:,.0f} requests/s ({report.middle(found.rates):,.0f}); "
        f"{min(found.cpu):,.0f} µs of CPU each",
        "≥ 5,000",
        rate >= RATE,
        rate,
    )
    yield row(
        f"`/health` with all of them ({found.body / 1e6:.1f} MB), p99",
        f"{late:.1f} ms ({report.middle(found.p99_all):.0f}); {max(found.rate_all):,.0f} "
        f"requests/s, {min(found.cpu_all) / 1000:.1f} ms of CPU each",
        "≤ 20 ms",
        late <= ALL,
        late,
    )
    yield row(
        "change to view, p99",
        f"{seen:.1f} ms ({report.middle(found.seen):.0f})",
        "≤ 100 ms",
        seen <= SEEN,
        seen,
    )


def measure() -> report.Table:
    """Measure all fleets."""
    rows: list[report.Row] = []
    if shutil.which("etcd") is not None:
        rows += rows_of("10,000 in etcd", over_etcd(10_000), targets=True)
    for count in (10_000, 100_000):
        rows += rows_of(f"{count:,} in memory", in_memory(count), targets=False)
    return report.Table(
        "A frontend over a large fleet",
        ("fleet", "", "frontend"),
        tuple(rows),
        f"{CHANGES} instances change every second, all the while. The start is from the process's "
        "on (in memory: from the connection on); the memory is what it has more than over an empty "
        f"fleet. {REPEATS} rounds of {SECONDS} s of each question, {STARTS} starts: the best, as "
        "the machine has other work, and in parentheses the median. Without etcd (Debian: apt-get "
        "install etcd-server) its rows are left out.",
    )


if __name__ == "__main__":
    report.main(measure)
