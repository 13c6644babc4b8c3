"""Programs of the tests that tell what they do, an event a line, and are killed for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["HERE", "OURS", "PATIENCE", "Program", "program"]

PATIENCE = 60.0
HERE = Path(__file__).parent
OURS = Path(sys.executable)


class Program:
    """A program that runs, and what it has told so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []
        self._news = threading.Condition()
        self._readers = [
            threading.Thread(target=read, name="reads a program", daemon=True)
            for read in (self._read, self._read_errors)
        ]
        for reader in self._readers:
            reader.start()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def tells(self, word: str, *, after: float = 0.0, **also: Any) -> dict[str, Any]:
        """Wait until it has told of something (since a time of the wall clock); return that."""
        found = self.until(
            lambda: [one for one in self.told(word, after=after) if also.items() <= one.items()]
        )
        event: dict[str, Any] = found[0]
        return event

    def told(self, word: str, *, after: float = 0.0) -> list[dict[str, Any]]:
        """Return what it has told of that kind."""
        return [one for one in tuple(self.events) if one["event"] == word and one["at"] >= after]

    def until(self, found: Callable[[], Any]) -> Any:
        """Wait until something is found in what it tells."""
        end = time.monotonic() + PATIENCE
        with self._news:
            while not (it := found()):
                left = end - time.monotonic()
                assert left > 0, f"it said only: {self.said[-30:]} {self.events[-10:]}"
                self._news.wait(min(left, 1.0))
        return it

    def end(self) -> None:
        """Kill it, and read what it has told to the end."""
        self.process.kill()
        self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                if line.startswith('{"event"'):
                    self.events.append(json.loads(line))
                self._news.notify_all()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())


@contextmanager
def program(
    script: Path, *arguments: str, env: Mapping[str, str], python: Path = OURS
) -> Iterator[Program]:
    """Run a script until the context ends."""
    command: Sequence[str | Path] = [python, "-u", script, *arguments]
    process = subprocess.Popen(
        command,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    running = Program(process)
    try:
        yield running
    finally:
        running.end()
