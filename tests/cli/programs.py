"""Programs under test: started, read while they run, ended by their id."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 20.0


class Program:
    """A `serinus` command that runs; its output gathers in `out` and `err`."""

    def __init__(self, *words: str, env: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serinus", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.out = self.err = ""
        self._readers = [
            threading.Thread(target=self._gather, args=(name,), daemon=True)
            for name in ("out", "err")
        ]
        for reader in self._readers:
            reader.start()

    def _gather(self, name: str) -> None:
        stream = getattr(self.process, f"std{name}")
        for line in stream:
            setattr(self, name, getattr(self, name) + line)

    def says(self, pattern: str, *, seconds: float = PATIENCE) -> str:
        """Wait until its output has the pattern; return the first group, or all that matched."""
        found: list[re.Match[str]] = []

        def seen() -> bool:
            found[:] = [match] if (match := re.search(pattern, self.out + self.err)) else []
            return bool(found)

        until(seen, seconds=seconds, what=lambda: f"{pattern!r} in\n{self.out}\n{self.err}")
        return found[0][1] if found[0].re.groups else found[0][0]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def close(self) -> None:
        """End it whatever it takes."""
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@contextmanager
def program(*words: str, env: Mapping[str, str] | None = None) -> Iterator[Program]:
    """Run a command until the block is left."""
    started = Program(*words, env=env)
    try:
        yield started
    finally:
        started.close()
        for reader in started._readers:
            reader.join(PATIENCE)


def until(
    claim: Callable[[], object], *, seconds: float = PATIENCE, what: Callable[[], str] = str
) -> float:
    """Wait until a claim holds; return the seconds that it took."""
    began = time.monotonic()
    while not claim():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what()}"
        time.sleep(0.01)
    return time.monotonic() - began


def children(pid: int) -> list[int]:
    """The ids of the processes that a process has started and that still run."""
    with suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def command_of(pid: int) -> str:
    """The command line of a process."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def logs() -> set[Path]:
    """The files that engines' output is kept in."""
    return set(Path(tempfile.gettempdir()).glob("serinus-run-*.log"))
