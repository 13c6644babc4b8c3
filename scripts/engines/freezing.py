"""Find the processes and threads of an engine, and keep one of them from running.

A process is stopped by SIGSTOP. A thread cannot be: it is held the way a debugger holds it
(ptrace(2)), while the rest of its process goes on, such as a server's routes beside its loop.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
"""Of <sys/ptrace.h> and <linux/wait.h>."""


def descendants(pid: int) -> list[int]:
    """Return the processes below `pid`, nearest first."""
    found, todo = [], [pid]
    while todo:
        parent = todo.pop(0)
        try:
            tasks = list(Path(f"/proc/{parent}/task").iterdir())
            children = [int(c) for t in tasks for c in (t / "children").read_text().split()]
        except OSError:  # it ended while we looked
            continue
        found += children
        todo += children
    return found


def ticks(pid: int) -> dict[int, int]:
    """Read the processor time of each thread of a process."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        found[int(task.name)] = int(fields[11]) + int(fields[12])
    return found


def busiest(pid: int, *, seconds: float = 2.0) -> int:
    """Find the thread that computes most in so many seconds; not the main one."""
    before = ticks(pid)
    time.sleep(seconds)
    after = ticks(pid)
    spent = {tid: after[tid] - before.get(tid, 0) for tid in after if tid != pid}
    return max(spent, key=lambda tid: spent[tid])


@contextmanager
def held(thread: int) -> Iterator[None]:
    """Stop one thread of another process, as a debugger does (ptrace(2))."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ptrace(request: int) -> None:
        if libc.ptrace(request, thread, None, None) == -1:
            raise OSError(ctypes.get_errno(), f"ptrace of thread {thread}")

    ptrace(SEIZE)
    ptrace(INTERRUPT)
    os.waitpid(thread, WALL)
    try:
        yield
    finally:
        ptrace(DETACH)


@contextmanager
def starved(pids: list[int], *, share: float, period: float = 0.2) -> Iterator[None]:
    """Let processes run for this share of each period (seconds) only, all at the same time."""
    over = threading.Event()

    def throttle() -> None:
        while not over.is_set():
            _send(pids, signal.SIGSTOP)
            over.wait(period * (1 - share))
            _send(pids, signal.SIGCONT)
            over.wait(period * share)

    thread = threading.Thread(target=throttle, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _send(pids, signal.SIGCONT)


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
