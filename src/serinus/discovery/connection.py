"""`Discovery`: a process's one connection to a backend, repaired for as long as it is open.

What is announced is wanted, not done: it is stored now, or when the backend can be reached again,
under the same key. Mirrors follow what others announce. Nothing here fails because the backend
does: it says so, once, and tries again with growing waits.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import Self

from serinus.discovery.leadership import Leadership
from serinus.discovery.mirror import Mirror
from serinus.discovery.port import Backend, Session
from serinus.discovery.records import owner_of
from serinus.discovery.waiting import within
from serinus.errors import DiscoveryError, LifecycleError, excerpt

__all__ = ["Discovery"]

logger = logging.getLogger("serinus")

_FIRST_WAIT = 0.2
_LONGEST_WAIT = 5.0
"""Seconds between two tries to connect; they double from the first to the longest, and never get
longer than half a lease: mirrors wait a lease for who has to announce itself again."""
_PACE = 0.1
"""Seconds before a mirror that may have missed changes lists again."""


class Discovery:
    """Announces entries and mirrors those of others. An async context manager.

    Entering waits for nothing: the backend may be away. `lease` is how many seconds after this
    process's death its entries go; `relist` how often, in seconds, a mirror lists everything
    although it seems to miss nothing. `owner` names this start of this process: records carry it,
    and what another owner announced under the same key is not overwritten.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        lease: float,
        owner: str = "",
        relist: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
    ) -> None:
        self.backend = backend
        self.lease = lease
        self.owner = owner
        self.trouble = "not connected yet"
        """What is wrong with the backend; empty while nothing is."""
        self._relist = relist
        self._clock = clock
        self._random = random.Random(seed)
        self._wanted: dict[str, bytes] = {}
        self._taken: dict[str, str] = {}
        self._news = asyncio.Event()
        self._settled = asyncio.Event()
        self._mirrors: dict[str, Mirror] = {}
        self._leaderships: list[Leadership] = []
        self._closing = asyncio.Event()
        self._use: _Use | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._task is not None or self._closing.is_set():
            raise LifecycleError("a Discovery is entered once; make another one")
        self._task = asyncio.create_task(self._run(), name=f"discovery by {self.backend.place}")
        self._task.add_done_callback(_report)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take back what was announced, if the backend can be reached, within two leases."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=2 * self.lease)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def connected(self) -> bool:
        """Whether there is a session now."""
        return self._use is not None

    # --- what is said ------------------------------------------------------------------------

    def announce(self, key: str, value: bytes) -> None:
        """Have an entry stored, now and whenever the backend comes back, until it is withdrawn."""
        self._wanted[key] = value
        self._changed()

    def withdraw(self, key: str) -> None:
        """Have an entry removed."""
        if self._wanted.pop(key, None) is not None:
            self._changed()

    def conflicts(self) -> dict[str, str]:
        """Return what is not announced because another owner did: the key, and that owner."""
        return dict(self._taken)

    async def settled(self) -> None:
        """Wait until the backend has all that is announced, but for conflicts."""
        await self._settled.wait()

    def lead(self, key: str, value: bytes) -> Leadership:
        """Try to hold a key that only one may hold; once lost, it is tried for again."""
        leadership = Leadership(key, value)
        self._leaderships.append(leadership)
        if self._use is not None:
            self._use.start(self._hold(self._use.session, leadership), f"leadership of {key}")
        return leadership

    def resign(self, leadership: Leadership) -> None:
        """Give a leadership back, and try for it no more."""
        if leadership in self._leaderships:
            self._leaderships.remove(leadership)
            leadership.resign()

    # --- what is seen ------------------------------------------------------------------------

    def mirror(self, prefix: str) -> Mirror:
        """Return the mirror of a prefix, which follows for as long as this is open."""
        mirror = self._mirrors.get(prefix)
        if mirror is None:
            mirror = self._mirrors[prefix] = Mirror(prefix, grace=self.lease, clock=self._clock)
            if self._use is not None:
                self._use.start(self._follow(self._use.session, mirror), f"mirror of {prefix}")
        return mirror

    # --- the connection ----------------------------------------------------------------------

    async def _run(self) -> None:
        wait = _FIRST_WAIT
        while not self._closing.is_set():
            try:
                async with self.backend.session(lease=self.lease) as session:
                    wait = _FIRST_WAIT
                    await self._work(session)
            except DiscoveryError as error:
                self._lost(error)
            except BaseExceptionGroup as errors:
                known, unknown = errors.split(DiscoveryError)
                if unknown is None:
                    self._lost(_first(known))
                elif isinstance(unknown, ExceptionGroup):
                    self._mistaken(unknown)
                else:
                    raise
            except Exception as error:  # noqa: BLE001 - a mistake of ours must end no lease for good
                self._mistaken(error)
            if await within(self._closing.wait(), wait * self._random.uniform(0.5, 1.0)):
                return
            wait = min(2 * wait, _LONGEST_WAIT, self.lease / 2)

    async def _work(self, session: Session) -> None:
        """Do everything that a session is for, until it fails or this is closed."""
        async with asyncio.TaskGroup() as group:
            use = _Use(session, group)
            try:
                use.start(session.keep(), "lease")
                use.start(self._publish(session), "announcing")
                for mirror in self._mirrors.values():
                    use.start(self._follow(session, mirror), f"mirror of {mirror.prefix}")
                for one in self._leaderships:
                    use.start(self._hold(session, one), f"leadership of {one.key}")
                self._use = use
                self._found()
                await self._closing.wait()
            finally:
                self._use = None
                use.end()

    def _found(self) -> None:
        level = logging.INFO if self.trouble == "not connected yet" else logging.WARNING
        logger.log(level, "discovery: connected to %s", self.backend.place)
        self.trouble = ""

    def _mistaken(self, error: Exception) -> None:
        """Take a mistake of our own as the end of a session: it is seen, and begun anew."""
        first = _first(error)
        logger.error("discovery: a mistake of our own", exc_info=first)
        self._lost(DiscoveryError(f"{type(first).__name__}: {first}"))

    def _lost(self, error: BaseException) -> None:
        if str(error) != self.trouble:
            logger.warning("discovery: %s; trying again", error)
        self.trouble = str(error)
        self._settled.clear()
        for mirror in self._mirrors.values():
            mirror.lost()

    # --- the work of a session ---------------------------------------------------------------

    def _changed(self) -> None:
        self._settled.clear()
        self._news.set()

    async def _publish(self, session: Session) -> None:
        stored: dict[str, bytes] = {}
        while True:
            self._news.clear()
            for key in stored.keys() - self._wanted.keys():
                # Said once more, for mirrors that had trouble: it is its owner's word that it goes.
                await session.put(key, stored[key])
                await session.delete(key)
                del stored[key]
            for key, value in tuple(self._wanted.items()):
                if stored.get(key) != value and await self._store(
                    session, key, value, ours=key in stored
                ):
                    stored[key] = value
            self._taken = {k: by for k, by in self._taken.items() if k in self._wanted}
            if not self._news.is_set():
                if stored.keys() | self._taken.keys() >= self._wanted.keys():
                    self._settled.set()
                again = None if stored.keys() >= self._wanted.keys() else self.lease / 3
                await within(self._news.wait(), again)

    async def _store(self, session: Session, key: str, value: bytes, *, ours: bool) -> bool:
        """Store an entry unless another owner holds it; say whether it was stored."""
        if not ours and not await session.create(key, value):
            there = (await session.list(key)).entries.get(key)
            if there is None:
                return False  # gone since: the next round creates it
            other = owner_of(there)
            if other != self.owner and there != value:
                self._refuse(key, other)
                return False
            ours = True
        if ours:
            await session.put(key, value)
        self._taken.pop(key, None)
        return True

    def _refuse(self, key: str, other: str) -> None:
        if self._taken.get(key) != other:
            logger.error(
                "discovery: %s is announced by another process (%s) and not by this one (%s); "
                "every instance needs an id of its own",
                excerpt(key),
                excerpt(other or "which does not say who it is", limit=80),
                self.owner,
            )
        self._taken[key] = other

    async def _follow(self, session: Session, mirror: Mirror) -> None:
        after_trouble = True
        while True:
            listing = await session.list(mirror.prefix)
            mirror.listed(listing, after_trouble=after_trouble)
            after_trouble = False
            due = mirror.drop_missing()
            span = self._relist * self._random.uniform(0.9, 1.0)
            if due is not None:
                span = min(span, max(due - self._clock(), 0.0))
            try:
                async with asyncio.timeout(span):
                    async for change in session.watch(mirror.prefix, listing):
                        mirror.changed(change)
            except TimeoutError:
                continue
            except DiscoveryError as error:  # of this watch alone; a dead session's list fails too
                logger.info("discovery: %s: %s", mirror.prefix, error)
            mirror.lost()
            after_trouble = True
            await asyncio.sleep(_PACE)

    async def _hold(self, session: Session, leadership: Leadership) -> None:
        while not leadership.resigned.is_set():
            if not await session.create(leadership.key, leadership.value):
                await within(leadership.resigned.wait(), min(self.lease / 6, 0.5))
                continue
            leadership.turn(held=True)
            try:
                await leadership.resigned.wait()
            finally:
                leadership.turn(held=False)
            await session.delete(leadership.key)


class _Use:
    """A session in use: its tasks, which end together."""

    def __init__(self, session: Session, group: asyncio.TaskGroup) -> None:
        self.session = session
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[object, object, None], what: str) -> None:
        task = self._group.create_task(work, name=f"discovery: {what}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()


def _first(error: BaseException | None) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error or DiscoveryError("failed without a word")


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s failed", task.get_name(), exc_info=error)
