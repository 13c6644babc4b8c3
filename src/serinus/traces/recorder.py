"""The recorder: takes evidence from the event loop and has a thread of its own write it.

It may lose evidence, and says how much; it never makes the judge wait and never raises. What was
seen in the last moments before a kill -9 (`LINGER`) is lost with the process; what is in the file
is whole, save at most its last line.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from serinus.core.evidence import Evidence
from serinus.core.rules import Rules
from serinus.errors import TraceError, excerpt
from serinus.traces.head import Head, check_begins
from serinus.traces.script import Script, Watched
from serinus.traces.segments import appending, compress, locked, put_away, taken_by_other

__all__ = ["LINGER", "Recorder"]

logger = logging.getLogger("serinus")

LINGER = 0.05
"""Seconds for which entries are gathered before they are written together."""
_MOST_WAITING = 65536
_MARK_LIMIT = 4096
_CLOSING_PATIENCE = 5.0


class _Seen(NamedTuple):
    target: Watched
    rules: Rules
    evidence: Evidence


class _Marked(NamedTuple):
    at: float
    text: str


class Recorder:
    """Appends to `file` from `start` to `close`. All times are of `clock`, in seconds.

    A file that grows past `most_bytes` is put away and compressed; `keep` such files stay.
    `most_waiting` entries may wait for the thread; those beyond are counted and lost.
    """

    def __init__(
        self,
        file: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        about: Mapping[str, str] | None = None,
        most_bytes: int = 4 << 20,
        keep: int = 4,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self.file = file
        self.recorded = 0
        """Pieces of evidence and marks in the file."""
        self.lost = 0
        """Those that did not get there."""
        self.stopped: str | None = None
        """Why nothing is recorded any more; None while something is."""
        self._clock = clock
        self._start = clock()
        self._head = Head(uuid4().hex[:12], 0, wall(), about or {})
        self._most_bytes = most_bytes
        self._keep = keep
        self._most_waiting = most_waiting
        self._waiting: queue.SimpleQueue[_Seen | _Marked | None] = queue.SimpleQueue()
        self._refused = 0
        self._mistaken = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serinus-recorder", daemon=True)
        self._script = Script(start=self._start)
        self._descriptor = -1
        self._size = 0

    # --- the judge's side: nothing here waits or raises --------------------------------------

    def observe(self, target: Watched, evidence: Evidence) -> None:
        """Take a piece of evidence that was folded."""
        self._take(_Seen(target, target.rules, evidence))

    def mark(self, text: str) -> None:
        """Take a mark: what is going on, for whoever reads the trace."""
        self._take(_Marked(self._clock(), excerpt(text, limit=_MARK_LIMIT)))

    def _take(self, one: _Seen | _Marked) -> None:
        if self._waiting.qsize() < self._most_waiting:
            self._waiting.put(one)
        else:
            self._refused += 1

    # --- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the file and begin. Raises TraceError if it cannot be had, or is no trace."""
        try:
            if self.file.exists() and self.file.stat().st_size:
                check_begins(self.file)
            self._open()
        except OSError as error:
            raise TraceError(
                f"{self.file}: nothing can be recorded there: {error.strerror}"
            ) from error
        self._thread.start()

    def close(self) -> None:
        """Write what waits, and end; gives up after 5 s. Twice is once."""
        if self._closing.is_set() or not self._thread.is_alive():
            return
        self._closing.set()
        self._most_waiting = 0
        self._waiting.put(None)
        self._thread.join(_CLOSING_PATIENCE)
        if self._thread.is_alive():
            logger.error("recording to %s does not end: its disk does not answer", self.file)

    # --- the thread's side -------------------------------------------------------------------

    def _run(self) -> None:
        open_end = True
        while open_end:
            batch = [self._waiting.get()]
            self._closing.wait(LINGER)
            while True:
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            open_end = None not in batch
            self._write([one for one in batch if one is not None], last=not open_end)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, batch: list[_Seen | _Marked], *, last: bool) -> None:
        refused, self._refused = self._refused, 0
        self.lost += refused
        if self.stopped is not None:
            self.lost += len(batch)
            return
        try:
            if not os.fstat(self._descriptor).st_nlink:  # somebody removed it
                os.close(self._descriptor)
                self._open()
            if self._size > self._most_bytes:
                self._turn_over()
            lines = [line for line in map(self._line, batch) if line]
            text = b"".join(lines)
            if missing := refused + len(batch) - len(lines):
                text += self._script.lost(self._clock(), missing)
            if last:
                text += self._script.end(self._clock())
            self._append(text)
            self.recorded += len(lines)
            self.lost += len(batch) - len(lines)
        except OSError as error:
            self._stop(error, len(batch))

    def _line(self, one: _Seen | _Marked) -> bytes:
        """Write an entry; what cannot be written is our mistake, and costs itself alone."""
        try:
            if isinstance(one, _Marked):
                return self._script.mark(one.at, one.text)
            return self._script.seen(one.target, one.rules, one.evidence)
        except Exception:
            if not self._mistaken:
                logger.exception("recording to %s: an entry is lost by our mistake", self.file)
            self._mistaken = True
            return b""

    def _append(self, text: bytes) -> None:
        """Write it whole, or leave the file as it was, as far as that can be done."""
        written = 0
        try:
            while written < len(text):
                written += os.write(self._descriptor, text[written:])
        except OSError:
            if written:
                size = os.fstat(self._descriptor).st_size
                os.ftruncate(self._descriptor, max(size - written, 0))
            raise
        self._size += written

    def _open(self) -> None:
        self._descriptor = appending(self.file)
        if taken_by_other(self._descriptor):
            os.close(self._descriptor)
            self._descriptor = -1
            raise OSError(errno.EBUSY, "another process records to it")
        self._size = os.fstat(self._descriptor).st_size
        self._script = Script(start=self._start)
        self._append(self._head.line())

    def _turn_over(self) -> None:
        with locked(self._descriptor):
            put_away(self.file, keep=self._keep)
        os.close(self._descriptor)
        self._descriptor = -1
        self._head = self._head._replace(segment=self._head.segment + 1)
        self._open()
        compress(self.file)

    def _stop(self, error: OSError, lost: int) -> None:
        self.stopped = error.strerror or type(error).__name__
        self.lost += lost
        logger.error(
            "recording to %s has stopped: %s; health checking goes on", self.file, self.stopped
        )
