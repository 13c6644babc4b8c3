"""The backend in memory: for one process, and for tests and simulations in virtual time.

A `Memory` is the store; whoever shares it shares the fleet. Nothing outlives the process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from serinus.discovery.foreign import Foreign
from serinus.discovery.port import Change, Listing
from serinus.errors import DiscoveryError

if TYPE_CHECKING:
    from serinus.settings import Settings

__all__ = ["Memory", "from_settings"]

_BEATS = 3
"""Heartbeats in the time of a lease."""
_REMEMBERED = 65536
"""Changes that are remembered: a watch that is further behind has to list again."""


def from_settings(_: Settings) -> Memory:
    """Return the store of the running loop: one for all of this process."""
    return _STORES.setdefault(asyncio.get_running_loop(), Memory())


class Memory:
    """A store in this process. Made and used on one event loop.

    `fail` makes it unreachable, as a server that died is; `restore` brings it back, with or without
    what it knew.
    """

    place = "memory of this process"

    def __init__(self) -> None:
        self.foreign = Foreign()
        self._entries: dict[str, _Entry] = {}
        self._changes: deque[tuple[int, Change]] = deque(maxlen=_REMEMBERED)
        self._revision = 0
        self._news = asyncio.Event()
        self._down = False

    @asynccontextmanager
    async def session(self, *, lease: float) -> AsyncIterator[_Session]:
        """Connect; see `Backend`."""
        self.reach()
        with _lease(lease, self) as held:
            yield _Session(self, held)

    def fail(self) -> None:
        """Become unreachable: sessions fail, and no lease runs out until it is back."""
        self._down = True
        self._wake()

    def restore(self, *, empty: bool = False) -> None:
        """Be reachable again; `empty` has everything forgotten."""
        self._down = False
        if empty:
            self._entries.clear()
            self._changes.clear()
            self._revision += 1  # whoever watched has missed something
        for holder in {entry.holder for entry in self._entries.values()}:
            holder.renew()  # nobody could renew while it was away

    # --- for sessions ------------------------------------------------------------------------

    def reach(self) -> None:
        """Raise DiscoveryError while it is unreachable."""
        if self._down:
            raise DiscoveryError(f"{self.place}: cannot be reached")

    def has(self, key: str) -> bool:
        """Whether there is an entry."""
        return key in self._entries

    def put(self, key: str, value: bytes, holder: _Lease) -> None:
        """Store an entry, or another value for it."""
        self._entries[key] = _Entry(value, holder)
        self._note(Change(key, value))

    def delete(self, key: str) -> None:
        """Remove an entry, if there is one."""
        if self._entries.pop(key, None) is not None:
            self._note(Change(key, None))

    def end(self, holder: _Lease) -> None:
        """Remove all that is held by a lease; not while nobody could have renewed it."""
        if self._down:
            return
        for key in [key for key, entry in self._entries.items() if entry.holder is holder]:
            self.delete(key)

    def listing(self, prefix: str) -> Listing:
        """Return what is there, marked with the number of the last change."""
        under = ((k, e.value) for k, e in self._entries.items() if k.startswith(prefix))
        return Listing(dict(under), mark=self._revision)

    async def after(self, revision: int) -> list[tuple[int, Change]]:
        """Wait for changes after one, and return them with their numbers."""
        while True:
            self.reach()
            if self._revision > revision:
                oldest = self._changes[0][0] if self._changes else self._revision + 1
                if oldest > revision + 1:
                    raise DiscoveryError(f"{self.place}: changes were missed; list again")
                newest = takewhile(lambda entry: entry[0] > revision, reversed(self._changes))
                return list(newest)[::-1]
            await self._news.wait()

    def _note(self, change: Change) -> None:
        self._revision += 1
        self._changes.append((self._revision, change))
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class _Lease:
    """Runs out when it is not renewed for as long as it lasts."""

    def __init__(self, seconds: float, store: Memory) -> None:
        self.seconds = seconds
        self.over = False
        self._store = store
        self._timer: asyncio.TimerHandle | None = None
        self.renew()

    def renew(self) -> None:
        """Let it last as long again."""
        self.end()
        self._timer = asyncio.get_running_loop().call_later(self.seconds, self._run_out)

    def end(self) -> None:
        """Let no timer run."""
        if self._timer is not None:
            self._timer.cancel()

    def _run_out(self) -> None:
        self.over = True
        self._store.end(self)


class _Entry(NamedTuple):
    value: bytes
    holder: _Lease


class _Session:
    """See `port.Session`."""

    def __init__(self, store: Memory, lease: _Lease) -> None:
        self._store = store
        self._lease = lease

    async def put(self, key: str, value: bytes) -> None:
        self._check()
        self._store.put(key, value, self._lease)

    async def create(self, key: str, value: bytes) -> bool:
        self._check()
        if self._store.has(key):
            return False
        self._store.put(key, value, self._lease)
        return True

    async def delete(self, key: str) -> None:
        self._check()
        self._store.delete(key)

    async def list(self, prefix: str) -> Listing:
        self._check()
        return self._store.listing(prefix)

    async def watch(self, prefix: str, since: Listing) -> AsyncIterator[Change]:
        revision = since.mark
        if not isinstance(revision, int):
            raise TypeError("the listing is of another backend")
        while True:
            for number, change in await self._store.after(revision):
                revision = number
                if change.key.startswith(prefix):
                    yield change

    async def keep(self) -> None:
        while True:
            self._check()
            self._lease.renew()
            await asyncio.sleep(self._lease.seconds / _BEATS)

    def _check(self) -> None:
        self._store.reach()
        if self._lease.over:
            raise DiscoveryError(f"{self._store.place}: the lease ran out")


@contextmanager
def _lease(seconds: float, store: Memory) -> Iterator[_Lease]:
    lease = _Lease(seconds, store)
    yield lease  # left by an exception, it runs out by itself
    lease.end()
    store.end(lease)


_STORES: WeakKeyDictionary[asyncio.AbstractEventLoop, Memory] = WeakKeyDictionary()
