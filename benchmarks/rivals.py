"""The two rivals, started alike: the same handlers, the same variables, the same orders.

A worker is a process of its own in its rival's environment, with everything on loopback.
"""

from __future__ import annotations

import json
import os
import random
import resource
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Any, Self

import probes

HERE = Path(__file__).parent
DYNAMO_HOME = Path(os.environ.get("DYNAMO_DIR") or Path.home() / ".cache/serinus/dynamo")


@dataclass(frozen=True, slots=True)
class Rival:
    """One side of a comparison: an interpreter, a script, and what only this side is told."""

    name: str
    python: Path
    script: str
    environment: dict[str, str] = field(default_factory=dict)


OURS = Rival("Serinus", HERE.parent / ".venv/bin/python", "serinus_worker.py")
OURS_AT_ONCE = Rival(
    "Serinus, thresholds of 1",
    OURS.python,
    OURS.script,
    {"SERINUS_FAILURE_THRESHOLD": "1", "SERINUS_SUCCESS_THRESHOLD": "1"},
)
DYNAMO = Rival(
    "Dynamo 1.6.1",
    DYNAMO_HOME / "bin/python",
    "dynamo_worker.py",
    {
        "DYN_DISCOVERY_BACKEND": "mem",
        "DYN_REQUEST_PLANE": "tcp",
        "DYN_TCP_RPC_HOST": "127.0.0.1",
        "DYN_TCP_RESPONSE_STREAM_HOST": "127.0.0.1",
        "DYN_LOG": "off",  # at its default it writes a line for every request
    },
)


def environment(rival: Rival, port: int, *, canaries: bool = True) -> dict[str, str]:
    """The variables both understand: canary wait 1 s, canary timeout 1 s."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DYN_", "SERINUS_"))}
    return {
        **kept,
        "DYN_SYSTEM_HOST": "127.0.0.1",
        "DYN_SYSTEM_PORT": str(port),
        "DYN_HEALTH_CHECK_ENABLED": "true" if canaries else "false",
        "DYN_CANARY_WAIT_TIME": "1",
        "DYN_HEALTH_CHECK_REQUEST_TIMEOUT": "1",
        **rival.environment,
    }


def free_port() -> int:
    """A port nobody listens on, below 32768: Dynamo accepts no higher one."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Worker:
    """A running worker. Used as a context manager; it is killed at the end."""

    def __init__(
        self,
        rival: Rival,
        *options: str,
        endpoints: int = 1,
        canaries: bool = True,
        descriptors: int | None = None,
        environ: dict[str, str] | None = None,
    ) -> None:
        self.rival = rival
        self.port = free_port()
        self._names = endpoints
        self._line, theirs = socket.socketpair()
        self._heard = self._line.makefile("r")
        self._output = TemporaryFile()  # noqa: SIM115  # closed with the worker
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(rival.python, HERE / rival.script),
                    *("--orders", str(theirs.fileno()), "--endpoints", str(endpoints)),
                    *options,
                ],
                env={**environment(rival, self.port, canaries=canaries), **(environ or {})},
                pass_fds=[theirs.fileno()],
                stdout=self._output,
                stderr=subprocess.STDOUT,
            )
        if descriptors is not None:
            # Before the worker has had the time to start its interpreter.
            limits = (descriptors, descriptors)
            resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, limits)
        self._line.settimeout(60)

    def __enter__(self) -> Self:
        self._hear("it started")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._heard.close()
        self._line.close()
        self._output.close()

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    def order(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Give an order to ``worker.Ear`` and wait for its answer."""
        self.send(name, **arguments)
        return self._hear(name)

    def send(self, name: str, **arguments: Any) -> None:
        """Give an order and do not wait; ``hear`` gives its answer."""
        self._line.sendall(json.dumps({"order": name, **arguments}).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        """The answer to an order that was sent."""
        return self._hear("an order")

    def ending(self, seconds: float) -> dict[str, Any]:
        """Wait for the worker to end by itself; what it said last."""
        said: dict[str, Any] = {}
        self._line.settimeout(seconds)
        for line in self._heard:
            said = json.loads(line)
        return said

    def _hear(self, what: str) -> dict[str, Any]:
        line = self._heard.readline()
        if not line:
            status = self._process.wait(5)
            self._output.seek(0)
            tail = self._output.read()[-2000:].decode(errors="replace")
            raise RuntimeError(
                f"{self.rival.name} ended with status {status}, not having said {what}:\n{tail}"
            )
        heard: dict[str, Any] = json.loads(line)
        return heard

    def until_ready(self, seconds: float = 60) -> Self:
        """Wait until every endpoint is registered and ``/health`` says 200."""
        for answer in probes.polled(self.port, pace=0.05, seconds=seconds):
            if answer.status == 200 and len(json.loads(answer.body)["endpoints"]) >= self._names:
                return self
        last = probes.ask(self.port)
        raise RuntimeError(
            f"{self.rival.name} was not ready in {seconds} s: {last.status} {last.body[:200]!r}"
        )

    def tree(self) -> list[int]:
        """The worker and every process under it."""
        pids = [self.pid]
        for pid in pids:
            for task in Path(f"/proc/{pid}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
        return pids

    def cpu_seconds(self) -> float:
        """Processor time of the whole tree so far, user and system."""
        ticks = 0
        for pid in self.tree():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def cpu_share(self, seconds: float) -> float:
        """Processors used by the whole tree, on average over so many seconds."""
        before, began = self.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu_seconds() - before) / (time.monotonic() - began)


def pss(pid: int) -> int:
    """Proportional set size of one process, in bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/smaps_rollup names no Pss")
