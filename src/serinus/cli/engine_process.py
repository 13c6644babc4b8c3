"""An engine that `serinus run` starts: a process group of its own, that ends when we do.

However we end: by ourselves it is told to stop, and killed if it does not; should we be killed,
the kernel tells it (PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from serinus.errors import EngineError, SettingsError, excerpt

__all__ = ["PORT", "EngineProcess", "placed"]

PORT = "{port}"
"""A word of a command that becomes a free port."""
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
_GLANCE = 0.05
_TAIL = 2000
_CORE = re.compile(r"VLLM::EngineCor")


def placed(command: Sequence[str]) -> tuple[list[str], str | None]:
    """Give a command a free port where it has `{port}`; return it, and the URL, if it has."""
    if not any(PORT in word for word in command):
        return list(command), None
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = str(holder.getsockname()[1])
    return [word.replace(PORT, port) for word in command], f"http://127.0.0.1:{port}"


class EngineProcess:
    """Runs a command until `end`. What it prints goes to a file, which is kept if it fails."""

    def __init__(self, command: Sequence[str], *, grace: float = 10.0) -> None:
        self._command = list(command)
        self._grace = grace
        self._process: subprocess.Popen[bytes] | None = None
        descriptor, name = tempfile.mkstemp(prefix="serinus-run-", suffix=".log")
        os.close(descriptor)
        self.log = Path(name)

    @property
    def pid(self) -> int:
        """The id of the process, and of its group."""
        if self._process is None:
            raise EngineError("the engine is not started")
        return self._process.pid

    def start(self) -> None:
        """Start it. Raises SettingsError if there is no such command."""
        ready = _ready_to_die_with(os.getpid())
        try:
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=ready,  # noqa: PLW1509 - one system call, prepared before the fork
                )
        except OSError as error:
            self.log.unlink(missing_ok=True)
            raise SettingsError(
                f"the engine's command {self._command[0]!r} cannot be run: {error.strerror}"
            ) from error

    def ended(self) -> str | None:
        """How it ended by itself, for people; None while it runs."""
        code = None if self._process is None else self._process.poll()
        if code is None:
            return None
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    async def said(self, pattern: str, *, seconds: float) -> str:
        """Wait until it has printed something, and return that.

        Raises EngineError if it ends before, or has not printed it in time.
        """
        deadline = time.monotonic() + seconds
        while True:
            if found := re.search(pattern, self.printed()):
                return found[0]
            if (end := self.ended()) is not None:
                raise EngineError(f"the engine ended ({end}): {excerpt(self.printed(), limit=300)}")
            if time.monotonic() > deadline:
                raise EngineError(f"the engine has not printed its address within {seconds:g} s")
            await asyncio.sleep(_GLANCE)

    def printed(self) -> str:
        """The last of what it has printed."""
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(self.log.stat().st_size - _TAIL, 0))
            return log.read().decode(errors="replace")
        return ""

    def core(self) -> int | None:
        """The id of vLLM's process that generates, among its descendants; None if there is none."""
        for pid in _descendants(self.pid):
            with contextlib.suppress(OSError):
                if _CORE.search(Path(f"/proc/{pid}/comm").read_text()):
                    return pid
        return None

    async def end(self) -> None:
        """End all of its group: politely, then not. Twice is once."""
        process, self._process = self._process, None
        if process is None:
            return
        failed = process.poll() not in {None, 0}
        for number, seconds in ((signal.SIGTERM, self._grace), (signal.SIGKILL, 5.0)):
            # A frozen one hears SIGTERM only when thawed; one that ended may have left others.
            for sent in (number, signal.SIGCONT):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, sent)
            if await _gone(process, seconds):
                break
        if not failed:
            self.log.unlink(missing_ok=True)


async def _gone(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for the process and all of its group."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None and not _group_lives(process.pid):
            return True
        await asyncio.sleep(_GLANCE)
    return False


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _ready_to_die_with(parent: int) -> Callable[[], None]:
    """Return what the child calls before it becomes the engine: it shall end when we do."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ready() -> None:
        prctl(_SET_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # we were gone before the kernel was told
            os._exit(1)

    return ready


def _descendants(ancestor: int) -> Iterator[int]:
    """The ids of all processes below this one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                stat = (entry / "stat").read_text()
                parent = int(stat.rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    below = parents.get(ancestor, [])
    while below:
        yield from below
        below = [child for pid in below for child in parents.get(pid, [])]
