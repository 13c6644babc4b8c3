"""The backend in files: for the processes of one machine, with nothing to install.

The layout is the reference's (seen with Dynamo 1.6.1): one directory a bucket, one file an entry,
its name the rest of the key, percent-encoded; a file is kept alive by touching it. Ours end with
one more member, `serinus_lease`, that says how long they last untouched and who wrote them; a file
without it lasts as long as the reference's do.

Whether an entry is alive is not judged by wall clocks: a reader watches whether a file is touched,
and measures with a clock of its own. Only at first sight, when nothing was watched yet, is a file's
time compared with that of a file that the reader just wrote on the same file system; that alone
removes nothing. What the dead left is removed by whoever watches it.

Changes are polled: watching by inotify is not in the standard library.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import re
import secrets
import stat
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar
from urllib.parse import unquote_to_bytes

from serinus.discovery.foreign import Foreign
from serinus.discovery.port import Change, Listing
from serinus.errors import DiscoveryError, excerpt

if TYPE_CHECKING:
    from serinus.settings import Settings

__all__ = ["File", "from_settings"]

logger = logging.getLogger("serinus")

_REFERENCE_LEASE = 10.0
"""Seconds that a file of the reference lasts untouched; it removes ours after as many."""
_BEATS = 3
"""Touches in the time of a lease, and never more than so many seconds apart:"""
_LONGEST_BEAT = 3.0
_PACE = 0.05
"""Seconds between two looks at a directory's own time, which says that files came or went."""
_ROUND = 0.25
"""Seconds between two looks at every file; more where they are many, as a round may take so little
of the time:"""
_SHARE = 20
_GRACE = 0.4
"""The part of a lease that whoever may be alive gets to touch its file, where it was the reader
that did not look for a while."""
_TEMPORARY = ".tmp_"
"""How names of files begin that are being written: the reference's too."""
_LARGEST = 4 * 2**20
"""Bytes of the largest file that is read."""

_UNUSUAL = re.compile(rb"[^A-Za-z0-9]")
_MARK = re.compile(
    rb'(,|\n\{)"serinus_lease":\[([0-9]{1,10}(?:\.[0-9]{1,10})?),"[0-9a-f]{16}"\]\}\Z'
)

Result = TypeVar("Result")


def from_settings(settings: Settings) -> File:
    """Return the backend in the directory that the settings name, or in the reference's."""
    return File(Path(settings.file_kv or Path(tempfile.gettempdir()) / "dynamo_store_kv"))


class File:
    """A directory that all processes of the fleet can write to."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.place = f"files in {self.root}"
        self.foreign = Foreign()
        self._writer = secrets.token_hex(8)
        self._hanging: set[Future[Any]] = set()
        """What earlier sessions asked of the file system, and it has not done yet."""

    @asynccontextmanager
    async def session(self, *, lease: float) -> AsyncIterator[_Session]:
        """Make the directory if it is not there; see `Backend`."""
        await self._free(lease)
        files = _Files(self.root, lease, self._writer, self.foreign)
        hand = _Hand()
        session = _Session(self.place, lease, files, hand)
        try:
            await session.run("cannot be used", files.open)
            yield session
            with suppress(DiscoveryError):
                await session.run("cannot be left", files.take_back)
        finally:
            hand.end()
            self._hanging |= session.under_way

    async def _free(self, seconds: float) -> None:
        """Wait for what hangs: a try that began before it is done would be one more that does."""
        hanging = [asyncio.wrap_future(one) for one in self._hanging if not one.done()]
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*hanging, return_exceptions=True)
        except TimeoutError as error:
            raise _no_answer(self.place, seconds) from error
        self._hanging.clear()


class _Session:
    """See `port.Session`. Files are only touched by the hand, one thing after the other."""

    def __init__(self, place: str, lease: float, files: _Files, hand: _Hand) -> None:
        self._place = place
        self._lease = lease
        self._files = files
        self._hand = hand
        self.under_way: set[Future[Any]] = set()
        """What was asked of the file system and is not done."""

    async def put(self, key: str, value: bytes) -> None:
        await self.run(f"cannot store {excerpt(key)}", lambda: self._files.put(key, value))

    async def create(self, key: str, value: bytes) -> bool:
        return await self.run(
            f"cannot store {excerpt(key)}", lambda: self._files.create(key, value)
        )

    async def delete(self, key: str) -> None:
        await self.run(f"cannot remove {excerpt(key)}", lambda: self._files.delete(key))

    async def list(self, prefix: str) -> Listing:
        view = await self.run("cannot be read", lambda: self._files.look(prefix, thorough=True))
        return Listing(view.entries)

    async def watch(self, prefix: str, since: Listing) -> AsyncIterator[Change]:
        known, version = since.entries, -1
        while True:
            view = await self.run("cannot be read", lambda: self._files.look(prefix))
            if view.version != version:
                for key, value in view.entries.items():
                    if known.get(key) != value:
                        yield Change(key, value)
                for key in known.keys() - view.entries.keys():
                    yield Change(key, None)
                known, version = view.entries, view.version
            await asyncio.sleep(_PACE)

    async def keep(self) -> None:
        beat = time.monotonic()
        while True:
            late = time.monotonic() - beat
            if late > self._lease:
                raise DiscoveryError(
                    f"{self._place}: this process was held up for {late:.1f} s, "
                    f"longer than its lease of {self._lease:g} s"
                )
            beat = time.monotonic()
            await self.run("cannot be kept", self._files.beat)
            await asyncio.sleep(min(self._lease / _BEATS, _LONGEST_BEAT))

    async def run(self, trouble: str, work: Callable[[], Result]) -> Result:
        """Do what touches files; raise DiscoveryError for what goes wrong, within a lease."""
        asked = self._hand.submit(work)
        self.under_way.add(asked)
        asked.add_done_callback(self.under_way.discard)
        try:
            async with asyncio.timeout(self._lease):
                return await asyncio.wrap_future(asked)
        except TimeoutError as error:
            raise _no_answer(self._place, self._lease) from error
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            told = f"{self._place}: {trouble}: {error.strerror or error}{where}"
            raise DiscoveryError(told) from error


def _no_answer(place: str, seconds: float) -> DiscoveryError:
    return DiscoveryError(f"{place}: the file system did not answer for {seconds:g} s")


class _Hand:
    """A thread that does one thing after the other.

    A file system may hang: nobody waits for the end of this thread, and neither does the end of the
    process, as it would with an executor of the standard library.
    """

    def __init__(self) -> None:
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._given_up = False
        threading.Thread(target=self._work, name="serinus-discovery", daemon=True).start()

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Have something done, after what was asked before."""
        done: Future[Result] = Future()

        def do() -> None:
            if self._given_up or not done.set_running_or_notify_cancel():
                done.cancel()
                return
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - whoever asked has it
                done.set_exception(error)

        self._asked.put(do)
        return done

    def end(self) -> None:
        """Do nothing that was not begun, and end."""
        self._given_up = True
        self._asked.put(None)

    def _work(self) -> None:
        while (do := self._asked.get()) is not None:
            do()


class _View(NamedTuple):
    """The living entries under a prefix; the version is another one when they may be others."""

    entries: dict[str, bytes]
    version: int


class _Files:
    """What a session does with files. Every method may raise OSError."""

    def __init__(self, root: Path, lease: float, writer: str, foreign: Foreign) -> None:
        self._root = root
        self._foreign = foreign
        self._lease = lease
        self._writer = writer
        self._own: dict[str, bytes] = {}
        self._shelves: dict[str, _Shelf] = {}
        self._views: dict[str, _View] = {}

    def open(self) -> None:
        """Make the directory, and refuse one that strangers could have put there."""
        with suppress(FileExistsError):
            self._root.parent.mkdir(parents=True, exist_ok=True)
            self._root.mkdir(mode=0o700)
        if not self._root.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is no directory", str(self._root))
        if self._root.parent.stat().st_mode & stat.S_IWOTH:
            for owner in {self._root.lstat().st_uid, self._root.stat().st_uid}:
                if owner not in (0, os.geteuid()):
                    raise PermissionError(
                        errno.EPERM,
                        f"it belongs to another user ({owner}) in a directory where everyone may "
                        "write; set DYN_FILE_KV to a directory of yours",
                        str(self._root),
                    )

    def put(self, key: str, value: bytes) -> None:
        """Store an entry; the same once more is touched, which works on a full disk."""
        path, content = self._path(key), _pack(value, self._lease, self._writer)
        if _read(path) == content:
            os.utime(path, follow_symlinks=False)
        else:
            with self._written(path, content) as written:
                written.replace(path)
        self._own[key] = content

    def create(self, key: str, value: bytes) -> bool:
        """Store an entry if there is none, or one whose owner is dead.

        One that an earlier session of ours left and nobody counts as alive any more is replaced.
        """
        path, content = self._path(key), _pack(value, self._lease, self._writer)
        if os.path.lexists(path):
            shelf = self._shelf(key)
            shelf.look(thorough=True)
            there = _read(path)
            if there and _written_by(there, self._writer) and not shelf.has(path.name):
                self.put(key, value)
                return True
            if not shelf.bury(path.name):
                return False
        with self._written(path, content) as written:
            try:
                os.link(written, path)
            except FileExistsError:
                return False
        self._own[key] = content
        return True

    def delete(self, key: str) -> None:
        """Remove an entry, whoever wrote it."""
        self._own.pop(key, None)
        self._path(key).unlink(missing_ok=True)

    def look(self, prefix: str, *, thorough: bool = False) -> _View:
        """Return what is alive under a prefix."""
        shelf = self._shelf(prefix)
        shelf.look(thorough=thorough)
        view = self._views.get(prefix)
        if view is None or view.version != shelf.version:
            entries = {key: value for key, value in shelf.alive() if key.startswith(prefix)}
            view = self._views[prefix] = _View(entries, shelf.version)
        return view

    def beat(self) -> None:
        """Touch what this session stored.

        What is gone, or is another's by now, is not this session's: it has failed.
        """
        for key, content in self._own.items():
            path = self._path(key)
            if _read(path) != content:
                raise FileNotFoundError(
                    errno.ENOENT, "it was removed, or taken by another process", str(path)
                )
            os.utime(path, follow_symlinks=False)

    def take_back(self) -> None:
        """Remove what this session stored and nobody else has taken."""
        for key, content in self._own.items():
            path = self._path(key)
            if _read(path) == content:
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        bucket, name = _split(key)
        return self._root / bucket / name

    def _shelf(self, prefix: str) -> _Shelf:
        bucket, _ = _split(prefix)
        shelf = self._shelves.get(bucket)
        if shelf is None:
            shelf = self._shelves[bucket] = _Shelf(self._root, bucket, self._foreign)
        return shelf

    @contextmanager
    def _written(self, path: Path, content: bytes) -> Iterator[Path]:
        """Write a file beside another; it is as open to others as the directory is."""
        bucket = path.parent
        if not bucket.is_dir():
            for folder in (bucket.parent, bucket):
                with suppress(FileExistsError):
                    folder.mkdir()
                    folder.chmod(stat.S_IMODE(folder.parent.stat().st_mode))
        mode = stat.S_IMODE(bucket.stat().st_mode) & 0o666
        written = bucket / f"{_TEMPORARY}{secrets.token_hex(8)}"
        try:
            descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(descriptor, mode)
                file.write(content)
            yield written
        except OSError as error:
            error.filename = error.filename or str(path)
            raise
        finally:
            written.unlink(missing_ok=True)


class _Seen:
    """A file as it was last seen: its content, and until when it counts as alive."""

    __slots__ = ("key", "lease", "moved", "sign", "until", "value")

    def __init__(self, key: str | None) -> None:
        self.key = key  # None: nothing to list, such as a file that is being written
        self.sign: tuple[int, int, int] = (0, 0, 0)
        self.value: bytes | None = None
        self.lease = _REFERENCE_LEASE
        self.moved = 0.0
        self.until = 0.0


_Fresh: TypeAlias = list[tuple[_Seen, os.stat_result]]


class _Shelf:
    """A bucket's directory, as one session watches it."""

    def __init__(self, root: Path, bucket: str, foreign: Foreign) -> None:
        self.version = 0
        self._foreign = foreign
        self._root = root
        self._path = root / bucket
        self._bucket = bucket
        self._files: dict[str, _Seen] = {}
        self._sign: tuple[int, int] | None = None
        self._again = False
        self._looked = -1.0
        self._round_due = 0.0
        self._next_end = 0.0
        self._wrong: dict[str, str] = {}
        """The names of files that cannot be entries, and why."""

    def alive(self) -> Iterator[tuple[str, bytes]]:
        """Yield the entries that are alive."""
        now = time.monotonic()
        for seen in self._files.values():
            if seen.key is not None and seen.value is not None and now < seen.until:
                yield seen.key, seen.value

    def has(self, name: str) -> bool:
        """Whether a file counts as alive."""
        seen = self._files.get(name)
        return seen is not None and seen.value is not None and time.monotonic() < seen.until

    def look(self, *, thorough: bool) -> None:
        """See what changed: quickly, or every file where that is asked for or due."""
        now = time.monotonic()
        sign = self._directory_sign()
        if thorough or self._again or sign != self._sign or now >= self._round_due:
            # A change in the same tick of the file system's clock does not move it: look again.
            self._again = sign != self._sign
            self._sign = sign
            self._round(now)
        elif now >= self._next_end:
            self._expire(now)

    def bury(self, name: str) -> bool:
        """Remove the file of a dead owner; say whether the name is free.

        Of several readers one does it at a time, and looks at it again: what was touched, or taken
        by another owner, stays.
        """
        path, seen = self._path / name, self._files.get(name)
        if seen is not None and time.monotonic() < seen.moved + seen.lease:
            return False
        with self._alone() as alone:
            if alone and seen is not None:
                with suppress(FileNotFoundError):
                    if _sign_of(path.lstat()) == seen.sign:
                        path.unlink()
        return not os.path.lexists(path)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Hold what only one process may hold, if it is free."""
        directory = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(directory)

    def _directory_sign(self) -> tuple[int, int] | None:
        try:
            info = self._path.stat()
        except FileNotFoundError:
            if not self._root.is_dir():
                raise
            return None  # nobody stored anything yet
        return info.st_ino, info.st_mtime_ns

    def _round(self, now: float) -> None:
        first, held_up = self._looked < 0, now - self._looked > 4 * _ROUND
        present: set[str] = set()
        changed = False
        if self._sign is not None:
            fresh: _Fresh = []
            with os.scandir(self._path) as entries:
                for entry in entries:
                    try:
                        info = entry.stat(follow_symlinks=False)
                        if not stat.S_ISREG(info.st_mode):
                            continue
                        present.add(entry.name)
                        changed |= self._see(entry, info, now, fresh)
                    except FileNotFoundError:
                        present.discard(entry.name)
            if first and fresh:
                self._age(fresh, now)
        for name in self._files.keys() - present:
            changed |= self._files.pop(name).value is not None
            self._wrong.pop(name, None)
        self._complain()
        if held_up and not first:
            self._be_kind(now)
        self._looked = time.monotonic()
        self._round_due = self._looked + max(_ROUND, _SHARE * (self._looked - now))
        self._expire(now)
        self.version += changed

    def _see(
        self, entry: os.DirEntry[str], info: os.stat_result, now: float, fresh: _Fresh
    ) -> bool:
        """Take in one file; say whether an entry changed."""
        seen = self._files.get(entry.name)
        sign = _sign_of(info)
        if seen is not None and seen.sign == sign:
            return False
        content = self._content(entry)
        if seen is None:
            seen = self._files[entry.name] = _Seen(self._key(entry.name))
            fresh.append((seen, info))
        value, lease = (None, _REFERENCE_LEASE) if content is None else _unpack(content)
        changed = value != seen.value or now >= seen.until
        seen.sign, seen.value, seen.lease = sign, value, lease
        seen.moved, seen.until = now, now + lease
        return changed

    def _age(self, fresh: _Fresh, now: float) -> None:
        """Take off what a file had lasted when it was first seen, by the file system's clock."""
        probe = self._path / f"{_TEMPORARY}{secrets.token_hex(8)}"
        try:
            probe.touch(mode=0o600, exist_ok=False)
            present = probe.stat().st_mtime
            probe.unlink()
        except OSError:
            return  # whoever may only read waits for a whole lease
        for seen, info in fresh:
            seen.until = now + seen.lease - max(present - info.st_mtime, 0.0)

    def _be_kind(self, now: float) -> None:
        """Let nobody be dead because nobody looked."""
        for seen in self._files.values():
            seen.until = max(seen.until, now + _GRACE * seen.lease)
            seen.moved = max(seen.moved, now - (1 - _GRACE) * seen.lease)

    def _expire(self, now: float) -> None:
        """Let go who is dead, and remove what they left."""
        for name, seen in tuple(self._files.items()):
            if now >= seen.until and seen.value is not None:
                self.version += 1
                seen.value = None
            if now >= seen.moved + seen.lease:
                with suppress(OSError):  # of another user: its own readers remove it
                    self.bury(name)
        waiting = [t for s in self._files.values() for t in (s.until, s.moved + s.lease) if t > now]
        self._next_end = min(waiting, default=float("inf"))

    def _content(self, entry: os.DirEntry[str]) -> bytes | None:
        if entry.name.startswith(_TEMPORARY):
            return None
        try:
            content = _read(Path(entry.path))
        except OSError as error:
            self._wrong[entry.name] = error.strerror or str(error)
            return None
        self._wrong.pop(entry.name, None)
        return content

    def _key(self, name: str) -> str | None:
        if name.startswith("."):
            return None
        try:
            return f"{self._bucket}/{unquote_to_bytes(name).decode()}"
        except UnicodeError:
            self._wrong[name] = "its name is no key"
            return None

    def _complain(self) -> None:
        """Name what is left out, each once."""
        wrong = {
            f"{self._bucket}/{excerpt(os.fsencode(name).decode(errors='backslashreplace'))}": why
            for name, why in self._wrong.items()
        }
        for name, why in self._foreign.found(self._bucket, wrong).items():
            logger.warning("discovery: %s/%s is left out: %s", self._root, name, why)


def _split(key: str) -> tuple[str, str]:
    """Return the bucket of a key, and the name of its file.

    >>> _split("v1/instances/demo/backend/generate/1f")
    ('v1/instances', 'demo%2Fbackend%2Fgenerate%2F1f')
    """
    first, second, rest = key.split("/", 2)
    return f"{first}/{second}", _UNUSUAL.sub(_escaped, rest.encode()).decode()


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]


def _pack(value: bytes, lease: float, writer: str) -> bytes:
    """Return what a file has for a value: an object gets a member, other values a line.

    >>> _pack(b'{"a":1}', 3.0, "00ff00ff00ff00ff")
    b'{"a":1,"serinus_lease":[3,"00ff00ff00ff00ff"]}'
    """
    mark = f'"serinus_lease":[{lease:g},"{writer}"]}}'.encode()
    if value[:1] == b"{" and value[-1:] == b"}" and value[1:-1].strip():
        return value[:-1] + b"," + mark
    return value + b"\n{" + mark


def _unpack(content: bytes) -> tuple[bytes, float]:
    """Return the value in a file, and its lease.

    >>> _unpack(_pack(b'{"a":1}', 3.0, "00ff00ff00ff00ff"))
    (b'{"a":1}', 3.0)
    >>> _unpack(b'{"of":"the reference"}')
    (b'{"of":"the reference"}', 10.0)
    """
    found = _MARK.search(content)
    if found is None:
        return content, _REFERENCE_LEASE
    value = content[: found.start()]
    return value + b"}" if found[1] == b"," else value, float(found[2])


def _written_by(content: bytes, writer: str) -> bool:
    return content.endswith(f',"{writer}"]}}'.encode())


def _read(path: Path) -> bytes | None:
    """Return what a plain file has; None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {_LARGEST} bytes", str(path))
    return content


def _sign_of(info: os.stat_result) -> tuple[int, int, int]:
    return info.st_ino, info.st_mtime_ns, info.st_size
