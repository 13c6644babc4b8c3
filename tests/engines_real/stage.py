"""One real engine with a sidecar beside it, and what can be done to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from scripts.engines.freezing import busiest, descendants, held, starved

from tests.engines_real import rig
from tests.engines_real.kinds import Kind, Part
from tests.engines_real.users import User


class Engine:
    """A real engine that serves."""

    def __init__(self, kind: Kind, url: str, started: rig.Started) -> None:
        self.kind = kind
        self.url = url
        self.started = started
        self._generating = 0

    def user(self, *, tokens: int, rounds: int | None = None) -> User:
        """Let one user generate, so many times or until it is stopped."""
        return User(self.url, tokens=tokens, body=dict(self.kind.body), rounds=rounds)

    def process(self, part: Part) -> int:
        """Return the id of the process of a part."""
        everyone = [self.started.process.pid, *descendants(self.started.process.pid)]
        found = [pid for pid in everyone if _name(pid).startswith(part.process)]
        assert found, f"{part.process}: none of {[_name(pid) for pid in everyone]}"
        return found[0]

    def find_thread(self, part: Part) -> int:
        """Return the id of the thread of a part; the one that computes is searched once."""
        pid = self.process(part)
        if part.thread == "main":
            return pid
        if not self._generating:
            user = self.user(tokens=1500)
            try:
                rig.wait_until(lambda: user.chunks > 2, seconds=120, what="tokens")
                self._generating = busiest(pid)
            finally:
                user.stop()
                assert user.join(120)
        return self._generating

    @contextmanager
    def stopped(self, part: Part) -> Iterator[float]:
        """Keep a part from running; yields the wall's time when that began."""
        if part.thread:
            with self._thread_held(self.find_thread(part)) as began:
                yield began
            return
        began = time.time()
        with rig.frozen(self.process(part)):
            yield began

    @contextmanager
    def _thread_held(self, thread: int) -> Iterator[float]:
        """Hold one thread, and it alone.

        A thread of Python's that is about to take the interpreter's lock takes all others with it:
        then it is let go at once, and held at another moment.
        """
        for _ in range(20):
            began = time.time()
            with held(thread):
                if all(rig.get(self.url, "/health", timeout=0.5)[0] == 200 for _ in range(2)):
                    yield began
                    return
            time.sleep(1)
        raise AssertionError(f"thread {thread}: the rest of its process never went on without it")

    @contextmanager
    def starved(self, *, share: float) -> Iterator[None]:
        """Let every process of the engine run for this share of the time only."""
        with starved(
            [self.started.process.pid, *descendants(self.started.process.pid)], share=share
        ):
            yield


class OwnHealth:
    """Asks the engine's own /health all the time, as a probe would, until it is closed."""

    def __init__(self, url: str, *, timeout: float = 1.0, pace: float = 0.5) -> None:
        self.codes: list[int] = []
        """What came; 0 for no answer in time."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(url, timeout, pace), daemon=True)
        self._thread.start()

    def _run(self, url: str, timeout: float, pace: float) -> None:
        while not self._over.is_set():
            self.codes.append(rig.get(url, "/health", timeout=timeout)[0])
            self._over.wait(pace)

    def close(self) -> str:
        """Stop, and return in words what was heard."""
        self._over.set()
        self._thread.join()
        counted = {code: self.codes.count(code) for code in sorted(set(self.codes))}
        return ", ".join(f"{code or 'no answer'} {n} times" for code, n in counted.items())


def fell(address: str, *, fault: float) -> tuple[float, str]:
    """Return the seconds from a fault to the first verdict of not ready after it, and its reason.

    By the verdict's own time, from the history: counters that go on to move can have taken it back
    since, as a scheduler's do whose output nobody receives any more.
    """
    for moment in rig.details(address)["history"]:
        at = datetime.fromisoformat(moment["at"]).timestamp()
        if at >= fault and moment["after"] == "notready" and "." in moment["subject"]:
            return at - fault, moment["reason"]
    raise AssertionError(f"no verdict of not ready since {fault}")


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
