"""Real engines' processes: started, found, frozen, thawed, killed, and probed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from scripts.engines.freezing import descendants

ROOT = Path(__file__).resolve().parents[2]
ENGINES = Path(os.environ.get("ENGINES_DIR", Path.home() / ".cache/serinus/engines"))
MODEL = ENGINES / "models" / "tiny"
PYTHON = ENGINES / "vllm" / "venv" / "bin" / "python"
QUIET = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
STANDS_STILL = {"stalled", "canary_timeout"}
"""Reasons for work that stands still: its budget is over, or a doubt's canary was missed first."""
START = 240.0
"""Seconds that vLLM may take to start on a cold disk."""


class Probe(NamedTuple):
    """What a probe saw: seconds since the watch began, the two codes (0: no answer), and why so."""

    at: float
    health: int
    live: int
    silence: str = ""


class Started:
    """A process of ours, in a session of its own, with its output in a file."""

    def __init__(self, command: list[str], *, log: Path, environ: dict[str, str]) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environ},
                cwd=ROOT,
                start_new_session=True,
            )

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def said(self) -> str:
        """Return what it has printed."""
        return self.log.read_text(errors="replace")

    def close(self, *, patience: float = 20.0) -> None:
        """End it and all that it started, frozen or not."""
        everyone = [self.process.pid, *descendants(self.process.pid)]
        for pid in everyone:
            _send(pid, signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(patience)
        for pid in everyone:
            _send(pid, signal.SIGKILL)
        if self.process.stdin is not None:
            self.process.stdin.close()


def serve(engine: str, port: int, *flags: str, log: Path, model: Path | None = None) -> Started:
    """Start a real engine on a model, the tiny one if none is named; it may need a minute."""
    environ = {} if model is None else {"MODEL": str(model)}
    script = ROOT / f"scripts/engines/serve_{engine}.sh"
    return Started([str(script), str(port), *flags], log=log, environ=environ)


def make_model(folder: Path, seed: int) -> Path:
    """Make a tiny model that is sure of its tokens; another seed makes other weights."""
    script = ROOT / "scripts/engines/make_tiny_model.py"
    command = [str(PYTHON), str(script), str(folder), str(seed)]
    subprocess.run(
        command, check=True, capture_output=True, timeout=300, env={**os.environ, **QUIET}
    )
    return folder


def serve_async_llm(*, log: Path, **settings: str) -> Started:
    """Start the worker around AsyncLLM with the library in it."""
    environ = {
        **QUIET,
        "PYTHONPATH": str(ROOT / "src"),
        "DYN_SYSTEM_PORT": "0",
        "DYN_SYSTEM_HOST": "127.0.0.1",
        "DYN_HEALTH_CHECK_ENABLED": "true",
        **settings,
    }
    script = str(ROOT / "tests/vllm/async_llm_worker.py")
    return Started([str(PYTHON), script, str(MODEL)], log=log, environ=environ)


def serve_sidecar(url: str, *flags: str, log: Path, engine: str = "vllm") -> Started:
    """Start a sidecar over the engine at `url`, its status port a free one."""
    command = [sys.executable, "-m", "serinus", "sidecar", "--engine", engine, "--url", url]
    return Started([*command, "--host", "127.0.0.1", "--port", "0", *flags], log=log, environ={})


def address_of(sidecar: Started) -> str:
    """Wait for the line with the addresses, the last word of which is the status port's."""

    def greeting() -> list[str]:
        assert sidecar.process.poll() is None, sidecar.said()
        return [line for line in sidecar.said().splitlines() if " watching " in line]

    wait_until(lambda: bool(greeting()), seconds=60, what="the sidecar's address")
    return greeting()[0].split()[-1]


def named(pid: int, name: str) -> int:
    """Return the one process below `pid` whose command line has `name`."""
    matching = [p for p in descendants(pid) if name in _command(p)]
    assert len(matching) == 1, f"{name}: {matching} of {descendants(pid)}"
    return matching[0]


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process, and let it go on afterwards."""
    _send(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        _send(pid, signal.SIGCONT)


def get(address: str, path: str, *, timeout: float = 5.0) -> tuple[int, str]:
    """Return status code and body; code 0 when nobody answers."""
    try:
        with urllib.request.urlopen(address + path, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, repr(error)


def details(address: str) -> dict[str, Any]:
    """Return the report behind `?verbose`."""
    code, body = get(address, "/health?verbose")
    assert code, body
    report: dict[str, Any] = json.loads(body)["details"]
    return report


def only_endpoint(address: str) -> dict[str, Any]:
    """Return the report of the one endpoint."""
    (endpoint,) = details(address)["endpoints"].values()
    assert isinstance(endpoint, dict)
    return endpoint


def canaries(address: str) -> float:
    """Return how many canaries have ended, whatever their outcome."""
    lines = get(address, "/metrics")[1].splitlines()
    return sum(float(x.split()[-1]) for x in lines if x.startswith("serinus_canaries_total{"))


def probe(address: str, *, began: float) -> Probe:
    """Ask both paths once."""
    at = time.monotonic() - began
    (health, said), (live, also) = get(address, "/health"), get(address, "/live")
    return Probe(at, health, live, " ".join((said * (health == 0), also * (live == 0))).strip())


def wait_until(
    condition: Callable[[], bool], *, seconds: float, what: str, pace: float = 0.02
) -> float:
    """Wait for a condition and return the seconds it took; fail after `seconds`."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < seconds, f"{what}: not within {seconds} s"
        time.sleep(pace)
    return time.monotonic() - began


def codes(address: str) -> tuple[int, int]:
    """Return the codes of /health and /live."""
    return get(address, "/health")[0], get(address, "/live")[0]


class Watch:
    """Probes both paths all the time, in a thread, until it is closed."""

    def __init__(self, address: str, *, pace: float = 0.05) -> None:
        self.probes: list[Probe] = []
        self._over = threading.Event()
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(address, pace), daemon=True)
        self._thread.start()

    def _run(self, address: str, pace: float) -> None:
        while not self._over.wait(pace):
            self.probes.append(probe(address, began=self._began))

    def close(self) -> list[Probe]:
        """Stop, and return what was seen."""
        self._over.set()
        self._thread.join()
        return self.probes


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
