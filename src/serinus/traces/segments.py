"""The files of a recording: the one that grows, and those that were put away when it was full.

`FILE` grows; `FILE.1.gz` was full last, `FILE.2.gz` before it. A killed process leaves whole files:
what is renamed was complete, and what is compressed stays until its successor is complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import gzip
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

__all__ = ["appending", "compress", "locked", "put_away", "segments_of", "taken_by_other"]

_GZ = ".gz"
_PART = ".part"
_LEVEL = 6
_CHUNK = 1 << 18


def segments_of(file: Path) -> list[Path]:
    """Name the files of a recording that exist, the oldest first and the growing one last."""
    older = []
    for number in range(1, _highest(file) + 1):
        older += [one for one in _named(file, number) if one.exists()][:1]
    return [*reversed(older), *([file] if file.exists() else [])]


def appending(file: Path) -> int:
    """Open a file for lines at its end, and see to it that it does not end within one."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(file, flags, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def taken_by_other(descriptor: int) -> bool:
    """Take a file for the only recorder of it, until it is closed; say whether it is taken.

    This lock and that of `locked` know nothing of each other (fcntl(2): open file description
    locks, and flock(2)).
    """
    whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, whole)
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def locked(descriptor: int) -> Iterator[None]:
    """Keep a file from being put away, or from being written from outside, meanwhile."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def put_away(file: Path, *, keep: int) -> None:
    """Make room for a new file; `keep` older ones stay. The work on them is `compress`'s."""
    for number in range(_highest(file), max(keep - 1, 0), -1):
        for one in _named(file, number):
            one.unlink(missing_ok=True)
    if not keep:
        file.unlink(missing_ok=True)
        return
    for number in range(keep - 1, 0, -1):
        for one, next_one in zip(_named(file, number), _named(file, number + 1), strict=True):
            if one.exists():
                one.replace(next_one)
    file.replace(_named(file, 1)[1])


def compress(file: Path) -> None:
    """Compress the file that was put away last."""
    small, whole = _named(file, 1)
    if not whole.exists():
        return
    part = small.with_name(small.name + _PART)
    with whole.open("rb") as read, part.open("wb") as write:
        os.fchmod(write.fileno(), 0o600)
        with gzip.GzipFile(filename="", mode="wb", fileobj=write, compresslevel=_LEVEL) as packed:
            shutil.copyfileobj(read, packed, _CHUNK)
    part.replace(small)
    whole.unlink()


def _named(file: Path, number: int) -> tuple[Path, Path]:
    """The two names that a file put away can have: compressed, and not yet."""
    whole = file.with_name(f"{file.name}.{number}")
    return whole.with_name(whole.name + _GZ), whole


def _highest(file: Path) -> int:
    numbers = [0]
    for one in file.parent.glob(f"{glob.escape(file.name)}.*"):
        number = one.name.removeprefix(file.name + ".").removesuffix(_GZ)
        if number.isascii() and number.isdigit() and len(number) <= 4:
            numbers.append(int(number))
    return max(numbers)
