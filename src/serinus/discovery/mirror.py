"""A mirror: what is known of all entries under a prefix, and how old that knowledge is.

It is never emptied by trouble: while the backend is away its entries stay and it says since when
they are stale. After the trouble an entry that was known before may be missing only because its
owner has not announced itself again yet: it is kept for the time of a lease.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from serinus.discovery.port import Change, Listing

__all__ = ["Follower", "Mirror"]

logger = logging.getLogger("serinus")

Follower: TypeAlias = Callable[[list[Change]], None]
"""Told of changes after they were made; no changes: only the staleness turned."""


class Mirror:
    """The entries under a prefix. Made by `Discovery.mirror`; used on its event loop."""

    def __init__(self, prefix: str, *, grace: float, clock: Callable[[], float]) -> None:
        self.prefix = prefix
        self.complete = False
        """Whether everything was listed once."""
        self.stale_since: float | None = clock()
        """Since when (by the clock) it may be behind; None while it follows."""
        self._grace = grace
        self._clock = clock
        self._entries: dict[str, bytes] = {}
        self._missing: dict[str, float] = {}
        """Known before the trouble and not announced again yet, with the end of their grace."""
        self._unsure: set[str] = set()
        """Known before the trouble and still there, as their owners left them: a lease that ran out
        meanwhile says nothing of an owner who is on its way."""
        self._unsure_until = clock()
        self._followers: list[Follower] = []

    @property
    def entries(self) -> Mapping[str, bytes]:
        """All entries, by key."""
        return MappingProxyType(self._entries)

    @property
    def age(self) -> float | None:
        """Seconds since it has been stale; None while it follows."""
        return None if self.stale_since is None else max(self._clock() - self.stale_since, 0.0)

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Have a follower told of every change from now on; return what ends that."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)

    def listed(self, listing: Listing, *, after_trouble: bool) -> None:
        """Take a whole listing.

        `after_trouble`: what is missing is kept for the grace, as its owner may be on its way.
        """
        now = self._clock()
        changes = [
            Change(key, value)
            for key, value in listing.entries.items()
            if self._entries.get(key) != value
        ]
        for key in self._entries.keys() - listing.entries.keys():
            if after_trouble or key in self._missing:
                self._missing.setdefault(key, now + self._grace)
            else:
                changes.append(Change(key, None))
        if after_trouble:
            self._unsure = self._entries.keys() & listing.entries.keys()
            self._unsure_until = now + self._grace
        for key in listing.entries:
            self._missing.pop(key, None)
        turned = not self.complete or self.stale_since is not None
        self.complete, self.stale_since = True, None
        self._make(changes, tell=turned)

    def changed(self, change: Change) -> None:
        """Take a change that was watched."""
        if change.key in self._unsure:
            if change.value is None and self._clock() < self._unsure_until:
                self._missing[change.key] = self._unsure_until
                return
            self._unsure.remove(change.key)
        self._missing.pop(change.key, None)
        if self._entries.get(change.key) != change.value:
            self._make([change])

    def drop_missing(self) -> float | None:
        """Drop what was missing for its grace; say when (by the clock) to look again."""
        now = self._clock()
        if now >= self._unsure_until:
            self._unsure.clear()
        due = [key for key, until in self._missing.items() if until <= now]
        for key in due:
            del self._missing[key]
        self._make([Change(key, None) for key in due])
        waiting = [*self._missing.values(), *([self._unsure_until] if self._unsure else [])]
        return min(waiting, default=None)

    def lost(self) -> None:
        """Say that it no longer follows."""
        if self.stale_since is None:
            self.stale_since = self._clock()
            self._make([], tell=True)

    def _make(self, changes: list[Change], *, tell: bool = False) -> None:
        for key, value in changes:
            if value is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = value
        if changes or tell:
            for follower in tuple(self._followers):
                try:
                    follower(changes)
                except Exception:
                    logger.exception("discovery: a follower of %s failed", self.prefix)
