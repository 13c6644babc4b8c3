"""Marks from outside: another process says what was going on, in a file that is being written."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from serinus.errors import TraceError, excerpt
from serinus.traces.head import check_begins
from serinus.traces.lines import as_line
from serinus.traces.segments import appending, locked

__all__ = ["append_mark"]

_LIMIT = 4096
_TRIES = 5


def append_mark(file: Path, text: str, *, wall: Callable[[], float] = time.time) -> None:
    """Append a mark with the wall's time to a recording, also while its recorder writes.

    Raises TraceError if there is no recording in that file.
    """
    for _ in range(_TRIES):
        try:
            check_begins(file)
            descriptor = appending(file)
        except OSError as error:
            raise TraceError(f"{file}: cannot be marked: {error.strerror}") from error
        try:
            with locked(descriptor):
                if not _still_there(file, descriptor):
                    continue  # it was put away since it was opened: there is a new one
                os.write(descriptor, as_line(["w", round(wall(), 6), excerpt(text, limit=_LIMIT)]))
                return
        except OSError as error:
            raise TraceError(f"{file}: cannot be marked: {error.strerror}") from error
        finally:
            os.close(descriptor)
    raise TraceError(f"{file}: cannot be marked: it is put away faster than it can be written")


def _still_there(file: Path, descriptor: int) -> bool:
    try:
        there = file.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))
