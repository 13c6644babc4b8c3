"""Record faults of a real engine as traces, one file a fault (src/serinus/replay/traces).

    record_faults.py ENGINE FOLDER [FAULT ...]

Each recording starts the engine, waits until it is ready, lets it be well for a while, marks the
fault and makes it, marks its end and undoes it, and lets it be well again. In the end all of it is
killed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
WELL = 30.0
"""Seconds of health before and after a fault."""
FLAGS = ("--canary-wait-time", "1", "--health-check-request-timeout", "2")
"""Often, so that much is known of what a canary would have brought."""
START = 300.0


class Engine(NamedTuple):
    """How an engine is started (`{port}`), watched, and which of its processes do what."""

    kind: str
    command: tuple[str, ...]
    processes: dict[str, str]
    """By the word that faults use, what the name of a process begins with."""


ENGINES = {
    "vllm": Engine(
        "vllm",
        (str(ROOT / "scripts/engines/serve_vllm.sh"), "{port}"),
        {"core": "VLLM::EngineCor", "worker": "VLLM::Worker"},
    ),
}


class Stage:
    """A running recording, and what can be done to its engine."""

    def __init__(self, engine: Engine, recording: subprocess.Popen[bytes], file: Path, port: int):
        self._engine = engine
        self._recording = recording
        self._file = file
        self._url = f"http://127.0.0.1:{port}"
        self._busy = threading.Event()
        self._askers: list[threading.Thread] = []

    def mark(self, text: str) -> None:
        """Write a mark into the trace."""
        serinus("record", "mark", str(self._file), text)

    def wait_until_ready(self) -> None:
        """Wait for the first canary that passed."""
        deadline = time.monotonic() + START
        while not any("canary: first item" in line for line in self._shown()):
            if time.monotonic() > deadline or self._recording.poll() is not None:
                raise SystemExit(f"{self._file}: the engine did not become ready")
            time.sleep(1)

    def _shown(self) -> list[str]:
        return serinus("record", "show", str(self._file), check=False).splitlines()

    def send(self, which: str, number: signal.Signals) -> None:
        """Send a signal to one of the engine's processes."""
        pid = self._find(self._engine.processes[which])
        os.kill(pid, number)

    def _find(self, name: str) -> int:
        for pid in descendants(self._recording.pid):
            comm = Path(f"/proc/{pid}/comm")
            if comm.exists() and comm.read_text().startswith(name[:15]):
                return pid
        raise SystemExit(f"{self._file}: the engine has no process {name}")

    @contextmanager
    def traffic(self, requests: int, *, tokens: int) -> Iterator[None]:
        """Keep so many generations in flight, one after the other."""
        self._busy.set()
        for _ in range(requests):
            asker = threading.Thread(target=self._ask, args=(tokens,), daemon=True)
            asker.start()
            self._askers.append(asker)
        try:
            yield
        finally:
            self._busy.clear()

    def _ask(self, tokens: int) -> None:
        body = {"model": "tiny", "prompt": "the canary sings", "max_tokens": tokens}
        body |= {"ignore_eos": True}
        data = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}/v1/completions", data, headers)
        while self._busy.is_set():
            try:
                with urllib.request.urlopen(request, timeout=300) as answer:
                    answer.read()
            except OSError:
                time.sleep(0.5)


def freeze(stage: Stage, which: str, *, seconds: float) -> None:
    """Stop a process, and let it go on."""
    fault = f"fault: {which} SIGSTOP"
    stage.mark(f"{fault} begins")
    stage.send(which, signal.SIGSTOP)
    time.sleep(seconds)
    stage.mark(f"{fault} ends")
    stage.send(which, signal.SIGCONT)


def idle_core_frozen(stage: Stage) -> None:
    """The scheduler stands still while nobody asks anything."""
    freeze(stage, "core", seconds=45)


def busy_core_frozen(stage: Stage) -> None:
    """The scheduler stands still under traffic."""
    with stage.traffic(2, tokens=400):
        time.sleep(10)
        freeze(stage, "core", seconds=80)
        time.sleep(10)


def busy_worker_frozen(stage: Stage) -> None:
    """The process with the model stands still in the middle of generations."""
    with stage.traffic(2, tokens=1500):
        time.sleep(10)
        freeze(stage, "worker", seconds=80)
        time.sleep(10)


def core_killed(stage: Stage) -> None:
    """The scheduler is gone, and the server with it."""
    stage.mark("fault: core SIGKILL begins")
    stage.send("core", signal.SIGKILL)
    time.sleep(20)


def saturated(stage: Stage) -> None:
    """No fault at all: twice as many long generations as run at once."""
    stage.mark("saturated: 16 generations of 1500 tokens, 8 at once, begins")
    with stage.traffic(16, tokens=1500):
        time.sleep(60)
    stage.mark("saturated ends")


FAULTS: dict[str, Callable[[Stage], None]] = {
    "idle-core-frozen": idle_core_frozen,
    "busy-core-frozen": busy_core_frozen,
    "busy-worker-frozen": busy_worker_frozen,
    "core-killed": core_killed,
    "saturated": saturated,
}


def record(name: str, fault: str, folder: Path) -> Path:
    """Record one fault; return the packed trace."""
    engine, file = ENGINES[name], folder / f"{name}-{fault}.trace"
    file.unlink(missing_ok=True)
    port = free_port()
    command = [word.replace("{port}", str(port)) for word in engine.command]
    url = f"http://127.0.0.1:{port}"
    words = ["record", "-o", str(file), "--engine", engine.kind, "--url", url, *FLAGS]
    with (folder / f"{name}-{fault}.log").open("wb") as log:
        recording = subprocess.Popen(
            [sys.executable, "-m", "serinus", *words, "--", *command], stdout=log, stderr=log
        )
        everyone: list[int] = []
        try:
            stage = Stage(engine, recording, file, port)
            while not file.exists() and recording.poll() is None:
                time.sleep(0.1)
            stage.wait_until_ready()
            everyone = descendants(recording.pid)
            time.sleep(WELL)
            FAULTS[fault](stage)
            time.sleep(WELL)
        finally:
            recording.send_signal(signal.SIGTERM)
            try:
                recording.wait(60)
            finally:
                for pid in everyone:
                    end(pid)
    packed = file.with_name(file.name + ".gz")
    packed.write_bytes(gzip.compress(file.read_bytes(), 9, mtime=0))
    file.unlink()
    return packed


def serinus(*words: str, check: bool = True) -> str:
    """Run a verb; return what it prints."""
    command = [sys.executable, "-m", "serinus", *words]
    done = subprocess.run(command, check=check, capture_output=True, text=True, timeout=60)
    return done.stdout


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


def descendants(pid: int) -> list[int]:
    """Name the processes below one."""
    found, todo = [], [pid]
    while todo:
        children = Path(f"/proc/{todo[0]}/task/{todo.pop(0)}/children")
        below = [int(word) for word in children.read_text().split()] if children.exists() else []
        found += below
        todo += below
    return found


def end(pid: int) -> None:
    """Kill a process of ours that is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def main() -> None:
    """Record what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=sorted(ENGINES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=", ".join(FAULTS))
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for fault in asked.faults or FAULTS:
        if not re.fullmatch(r"[a-z-]+", fault) or fault not in FAULTS:
            parser.error(f"{fault}: accepted: {', '.join(FAULTS)}")
        packed = record(asked.engine, fault, asked.folder)
        print(f"{packed}: {packed.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
