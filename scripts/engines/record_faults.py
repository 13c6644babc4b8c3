"""Record faults of a real engine as traces, one file a fault (src/serinus/replay/traces).

    record_faults.py ENGINE FOLDER [FAULT ...] [--command 'serve it on {port}']

Each recording starts the engine, waits until it is ready, lets it be well for a while, marks the
fault and makes it, marks its end and undoes it, and lets it be well again. In the end all of it is
killed.

Before a fault that is told by silence the engine is well for as long as a judge at its defaults
needs to learn its times: until then it is judged by what is configured.
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

from freezing import busiest, descendants, held, starved  # beside this script

from serinus.traces import append_mark

ROOT = Path(__file__).resolve().parents[2]
WELL = 30.0
"""Seconds of health before what needs no learning, and after every fault."""
KNOWN = 160.0
"""Seconds of health in which 13 canaries fit with the default wait of 10 s, jitter and all: so many
teach the time that a canary takes."""
BUSY = 40.0
"""Seconds of traffic before a fault, and readings of the engine's metrics: 12 teach how long its
work is silent."""
FLAGS = ("--canary-wait-time", "1", "--health-check-request-timeout", "2")
"""Often, so that much is known of what a canary would have brought."""
START = 300.0


class Part(NamedTuple):
    """A part of an engine that can be frozen: a process, or one thread of it."""

    process: str
    """What its name begins with."""
    thread: str = ""
    """`main`, `busiest` (while it generates), or none for the whole process."""


ENGINES = {
    "vllm": {"core": Part("VLLM::EngineCor"), "worker": Part("VLLM::Worker")},
    "sglang": {"core": Part("sglang::schedul"), "worker": Part("sglang::detoken")},
    "llamacpp": {"core": Part("llama-server", "main"), "worker": Part("llama-server", "main")},
    "transformers": {
        "core": Part("transformers", "busiest"),
        "worker": Part("transformers", "busiest"),
    },
}
"""By what `--engine` calls them, the parts that faults speak of: what schedules, what computes."""
STRICT = frozenset({"transformers"})
"""Engines that refuse a request with fields that they do not know."""
IN_TURN = frozenset({"transformers"})
"""Engines that work on one request at a time, and tell nobody: all others wait for its end."""
LONG, SHORT = 1500, 40
"""Tokens of a generation: a long one, and one that others may wait for."""


class Stage:
    """A running recording, and what can be done to its engine."""

    def __init__(
        self,
        parts: dict[str, Part],
        recording: subprocess.Popen[bytes],
        file: Path,
        *,
        port: int,
        body: dict[str, object],
        long: int,
    ) -> None:
        self.long = long
        """Tokens of a long generation."""
        self._parts = parts
        self._body = body
        self._recording = recording
        self._file = file
        self._url = f"http://127.0.0.1:{port}"
        self._busy = threading.Event()
        self._askers: list[threading.Thread] = []
        self._threads: dict[Part, int] = {}

    def mark(self, text: str, *, wall: float | None = None) -> None:
        """Write a mark into the trace; `wall` is when it was, now if None."""
        moment = time.time() if wall is None else wall
        append_mark(self._file, text, wall=lambda: moment)

    def wait_until_ready(self) -> None:
        """Wait for the first canary that passed."""
        deadline = time.monotonic() + START
        while not any("canary: first item" in line for line in self._shown()):
            if time.monotonic() > deadline or self._recording.poll() is not None:
                raise SystemExit(f"{self._file}: the engine did not become ready")
            time.sleep(1)

    def find_threads(self) -> None:
        """Find the threads that faults speak of, which takes traffic: no part of the story."""
        for part in set(self._parts.values()):
            if part.thread:
                pid = self._find(part.process)
                self._threads[part] = pid if part.thread == "main" else self._busiest(pid)

    def _shown(self) -> list[str]:
        return serinus("record", "show", str(self._file), check=False).splitlines()

    @contextmanager
    def frozen(self, which: str) -> Iterator[float]:
        """Keep a part of the engine from running; yields the wall's time when that began."""
        part = self._parts[which]
        if not part.thread:
            pid = self._find(part.process)
            began = time.time()
            os.kill(pid, signal.SIGSTOP)
            yield began
            os.kill(pid, signal.SIGCONT)
            return
        began = time.time()
        with held(self._threads[part]):
            yield began

    @contextmanager
    def starved(self, *, share: float) -> Iterator[None]:
        """Let the engine's processes run for this share of the time only, and nothing of ours."""
        ours = "Serinus' status process"
        engine = [p for p in descendants(self._recording.pid) if ours not in _command(p)]
        with starved(engine, share=share):
            yield

    def kill(self, which: str) -> None:
        """Kill a process of the engine."""
        os.kill(self._find(self._parts[which].process), signal.SIGKILL)

    def _find(self, name: str) -> int:
        for pid in descendants(self._recording.pid):
            comm = Path(f"/proc/{pid}/comm")
            if comm.exists() and comm.read_text().startswith(name[:15]):
                return pid
        raise SystemExit(f"{self._file}: the engine has no process {name}")

    def _busiest(self, pid: int) -> int:
        """Find the thread that computes most while something is generated; not the main one."""
        with self.traffic(1, tokens=400):
            return busiest(pid)

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
        data = json.dumps({**self._body, "max_tokens": tokens}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self._url}/v1/completions", data, headers)
        while self._busy.is_set():
            try:
                with urllib.request.urlopen(request, timeout=300) as answer:
                    answer.read()
            except OSError:
                time.sleep(0.5)


def freeze(stage: Stage, which: str, *, seconds: float) -> None:
    """Freeze a part, and let it go on."""
    with stage.frozen(which) as began:
        stage.mark(f"fault: {which} frozen begins", wall=began)
        time.sleep(seconds)
        stage.mark(f"fault: {which} frozen ends")


def idle_core_frozen(stage: Stage) -> None:
    """The scheduler stands still while nobody asks anything."""
    time.sleep(KNOWN)
    freeze(stage, "core", seconds=45)


def busy_core_frozen(stage: Stage) -> None:
    """The scheduler stands still under traffic."""
    time.sleep(KNOWN)
    with stage.traffic(2, tokens=400):
        time.sleep(BUSY)
        freeze(stage, "core", seconds=80)
        time.sleep(10)


def busy_worker_frozen(stage: Stage) -> None:
    """The process with the model stands still in the middle of generations."""
    time.sleep(KNOWN)
    with stage.traffic(2, tokens=stage.long):
        time.sleep(BUSY)
        freeze(stage, "worker", seconds=80)
        time.sleep(10)


def core_killed(stage: Stage) -> None:
    """The scheduler is gone, and the server with it."""
    time.sleep(WELL)
    stage.mark("fault: core killed begins")
    stage.kill("core")
    time.sleep(20)


def saturated(stage: Stage) -> None:
    """No fault at all: twice as many long generations as run at once."""
    time.sleep(WELL)
    stage.mark("saturated: 16 generations of 1500 tokens, 8 at once, begins")
    with stage.traffic(16, tokens=1500):
        time.sleep(60)
    stage.mark("saturated ends")


def slow(stage: Stage) -> None:
    """A twentieth of the processor for 60 s, under traffic."""
    time.sleep(KNOWN)
    with stage.traffic(2, tokens=400):
        time.sleep(BUSY)
        stage.mark("fault: slow begins")
        with stage.starved(share=0.05):
            time.sleep(60)
        stage.mark("fault: slow ends")
        time.sleep(10)


FAULTS: dict[str, Callable[[Stage], None]] = {
    "idle-core-frozen": idle_core_frozen,
    "busy-core-frozen": busy_core_frozen,
    "busy-worker-frozen": busy_worker_frozen,
    "core-killed": core_killed,
    "saturated": saturated,
    "slow": slow,
}


def record(name: str, fault: str, folder: Path, *, serve: str, model: str) -> Path:
    """Record one fault; return the packed trace."""
    file = folder / f"{name}-{fault}.trace"
    file.unlink(missing_ok=True)
    port = free_port()
    command = serve.replace("{port}", str(port)).split()
    url = f"http://127.0.0.1:{port}"
    body: dict[str, object] = {"model": model, "prompt": "the canary sings"}
    if name not in STRICT:
        body["ignore_eos"] = True
    words = ["record", "-o", str(file), "--engine", name, "--url", url]
    words += ["--model", model, *FLAGS]
    with (folder / f"{name}-{fault}.log").open("wb") as log:
        recording = subprocess.Popen(
            [sys.executable, "-m", "serinus", *words, "--", *command], stdout=log, stderr=log
        )
        everyone: list[int] = []
        try:
            stage = Stage(
                ENGINES[name],
                recording,
                file,
                port=port,
                body=body,
                long=SHORT if name in IN_TURN else LONG,
            )
            while not file.exists() and recording.poll() is None:
                time.sleep(0.1)
            stage.wait_until_ready()
            everyone = descendants(recording.pid)
            stage.find_threads()
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


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


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
    parser.add_argument("--command", help="(default: scripts/engines/serve_ENGINE.sh {port})")
    parser.add_argument("--model", default="tiny", help="what it is called (default: tiny)")
    asked = parser.parse_args()
    serve = asked.command or f"{ROOT}/scripts/engines/serve_{asked.engine}.sh {{port}}"
    asked.folder.mkdir(parents=True, exist_ok=True)
    for fault in asked.faults or FAULTS:
        if not re.fullmatch(r"[a-z-]+", fault) or fault not in FAULTS:
            parser.error(f"{fault}: accepted: {', '.join(FAULTS)}")
        packed = record(asked.engine, fault, asked.folder, serve=serve, model=asked.model)
        print(f"{packed}: {packed.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
