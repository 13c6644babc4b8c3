"""The port that every backend fills: a store of leased entries that can be watched.

Small on purpose. A session is one connection with one lease. It is never repaired: at the first
trouble it fails loudly, with a DiscoveryError, and is left. Whatever has to be done about that
(waiting, connecting again, announcing again, listing again, saying how stale the view is) is the
same for all backends and stands in `connection.py`, once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from serinus.discovery.foreign import Foreign

__all__ = ["Backend", "Change", "Listing", "Session"]


class Change(NamedTuple):
    """One entry that was put (its value) or is gone (None)."""

    key: str
    value: bytes | None


class Listing(NamedTuple):
    """All entries under a prefix at one moment, and the backend's mark of that moment."""

    entries: Mapping[str, bytes]
    mark: object = None


class Session(Protocol):
    """A connection with a lease: what is put through it is gone when the lease runs out.

    Keys are paths of at least three segments, such as `v1/instances/ns/component/endpoint/1f`; the
    first two are the bucket. Every method raises DiscoveryError when the backend fails, and never
    hangs longer than the lease lasts.
    """

    async def put(self, key: str, value: bytes) -> None:
        """Store an entry, or another value for it; it becomes this session's."""

    async def create(self, key: str, value: bytes) -> bool:
        """Store an entry only if there is none, atomically; say whether it was stored."""

    async def delete(self, key: str) -> None:
        """Remove an entry; one that is not there is no error."""

    async def list(self, prefix: str) -> Listing:
        """Return all entries whose keys begin with `prefix`, those of other sessions too.

        An entry whose lease ran out is not among them.
        """

    def watch(self, prefix: str, since: Listing) -> AsyncIterator[Change]:
        """Yield every change after a listing, none left out, in the order of each key.

        Several changes of one key in quick succession may come as the last of them. An entry whose
        lease ran out is a change: gone. Raises DiscoveryError if changes may have been missed.
        """

    async def keep(self) -> None:
        """Keep the lease alive until cancelled.

        Raises DiscoveryError at the latest when the lease may have run out: when no word of the
        backend has come for so long that others may have seen the entries go.
        """


class Backend(Protocol):
    """A place where workers announce themselves."""

    @property
    def place(self) -> str:
        """What it is and where, for people: no credentials."""

    @property
    def foreign(self) -> Foreign:
        """What lies where entries are and was left out."""

    def session(self, *, lease: float) -> AbstractAsyncContextManager[Session]:
        """Connect, with a lease of that many seconds.

        Raises DiscoveryError if it cannot be reached in the time of a lease, and tries once only.
        Leaving takes back what was put; left by an exception, it leaves that to the lease, as
        whoever connects again at once does not want its entries to be seen to go. Leaving never
        raises and never takes longer than a lease.
        """
