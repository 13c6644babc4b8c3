"""Real servers, started by the tests on free ports of loopback, and killed as machines die."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["Etcd", "Nats", "Process", "free_ports"]


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now.

    They are none of those that the system gives to whoever connects somewhere (32768 and up).
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(range(20_000, 32_000), 1000):
        if len(found) == count:
            break
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            found.append(port)
    return found


class Process:
    """A program that can be started again after its death."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        ready: Callable[[], bool],
        *,
        prefix: Sequence[str] = (),
    ) -> None:
        self._command = [*prefix, *map(str, command)]
        self._log = log
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, without waiting."""
        if not self.running:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def wait(self) -> None:
        """Wait until it is ready."""
        deadline = time.monotonic() + 60
        while not self._ready():
            if not self.running or time.monotonic() > deadline:
                said = self._log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self._command[0]} did not start: {said}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it, as a machine dies."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it from answering: its connections stay open."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)


class Etcd:
    """A cluster of etcd nodes on loopback."""

    def __init__(
        self,
        directory: Path,
        *,
        nodes: int = 1,
        options: Sequence[str] = (),
        scheme: str = "http",
        host: str = "127.0.0.1",
    ) -> None:
        ports = free_ports(2 * nodes)
        self.urls = [f"{scheme}://{host}:{port}" for port in ports[:nodes]]
        peers = [f"http://127.0.0.1:{port}" for port in ports[nodes:]]
        cluster = ",".join(f"n{number}={peer}" for number, peer in enumerate(peers))
        self.nodes: list[Process] = []
        for number, (url, peer) in enumerate(zip(self.urls, peers, strict=True)):
            data = directory / f"n{number}"
            command: list[str | Path] = ["etcd", "--name", f"n{number}", "--data-dir", data]
            command += ["--listen-client-urls", url, "--advertise-client-urls", url]
            command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
            command += ["--initial-cluster", cluster, "--log-level", "error", "--logger", "zap"]
            ready = _answers(url) if scheme == "http" else _listens(host, ports[number])
            self.nodes.append(Process([*command, *options], directory / f"n{number}.log", ready))

    def start(self) -> None:
        """Start what does not run, and wait until all answer."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait()

    def kill(self) -> None:
        """Kill all nodes."""
        for node in self.nodes:
            node.kill()

    def leader(self) -> int:
        """Return the number of the node that leads."""
        for number, url in enumerate(self.urls):
            with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
                if b"\netcd_server_is_leader 1" in answer.read():
                    return number
        raise RuntimeError("no node leads")


class Nats:
    """One NATS server on loopback."""

    def __init__(
        self,
        directory: Path,
        *,
        options: Sequence[str] = (),
        jetstream: bool = True,
        host: str = "127.0.0.1",
    ) -> None:
        (port,) = free_ports(1)
        self.port = port
        self.url = f"nats://{host}:{port}"
        self._store = directory / "store"
        program = Path(sys.executable).with_name("nats-server")
        command: list[str | Path] = [program, "--addr", host, "--port", str(port)]
        command += ["--jetstream", "--store_dir", self._store] if jetstream else []
        command += options
        self.node = Process(command, directory / "nats.log", _listens(host, port))

    def start(self) -> None:
        """Start it, if it does not run, and wait until it answers."""
        self.node.start()
        self.node.wait()

    def kill(self) -> None:
        """Kill it."""
        self.node.kill()

    def forget(self) -> None:
        """Lose what was stored, as a server does whose disk is new."""
        shutil.rmtree(self._store, ignore_errors=True)


def _answers(url: str) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
                return b'"true"' in answer.read()
        except OSError:
            return False

    return ready


def _listens(host: str, port: int) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            return False
        return True

    return ready
