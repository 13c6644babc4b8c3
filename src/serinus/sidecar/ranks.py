"""The data-parallel ranks of one engine: found on its page or declared, judged one by one.

While there are any, the engine is a group, and the endpoint of the whole is its front: it hears of
what is the whole process's (its death, its sleep), and is asked nothing.

Canaries are directed. An engine that gives a directed canary to another rank is caught by its own
counters: the token is not where it was asked for. Then its ranks cannot be asked one by one, and it
is judged as a whole again. What its counters alone can say is said: which ranks have work and have
stood still for the stall budget, while others moved.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping

from serinus.core.evidence import Registered
from serinus.core.group import Group, Kind
from serinus.core.verdict import Standing
from serinus.engines import Counters
from serinus.engines.capabilities import DirectsToRanks
from serinus.runtime.gathering import Gathering, rank_address
from serinus.sidecar.book import Book, busy_pace
from serinus.sidecar.part import Part, Shared
from serinus.sidecar.scraper import Scraper
from serinus.sidecar.stillness import Stillness

__all__ = ["Ranks"]

logger = logging.getLogger("serinus")


class Ranks:
    """Keeps the parts of one engine in line with the ranks that it has.

    `whole` is the part that is judged where ranks are not told apart.
    """

    def __init__(self, shared: Shared, scraper: Scraper, whole: Part) -> None:
        settings = shared.board.settings
        self.parts: dict[int, Part] = {}
        self._shared = shared
        self._scraper = scraper
        self._whole = whole
        self._declared = settings.ranks
        self._policy = settings.group_policy
        self._directs = isinstance(shared.engine, DirectsToRanks)
        self._gathering: Gathering | None = None
        self._strays = False
        self._stillness = Stillness(settings.health_check_busy_stall)

    def __iter__(self) -> Iterator[Part]:
        """Go over what is judged: the ranks, or the whole."""
        return iter(tuple(self.parts.values()) or (self._whole,))

    def found(self, told: Mapping[int, Counters]) -> None:
        """Take in which ranks the page tells of."""
        board, address = self._shared.board, self._whole.watched.address
        if not board.settings.health_check_enabled or self._declared == 1:
            return
        if board.groups.of(address) is not None:
            return  # groups of groups are more than anybody could read
        wanted = set(range(self._declared)) if self._declared else set(told)
        if len(wanted) < 2:
            return
        if not self._directs or self._strays:
            self._watch_stillness(told)
        elif wanted != set(self.parts):
            self._split(wanted)

    def check(self) -> None:
        """See whether canaries went where they were directed, after the page was read."""
        books = [part.book for part in self.parts.values()]
        if not any(book.strayed(books) for book in books):
            return
        logger.warning(
            "%s: canaries do not reach the ranks that they are directed to: the engine is judged "
            "as a whole, and its ranks by their counters alone",
            self._whole.watched.address,
        )
        self._strays = True
        ready = [part.standing for part in self.parts.values() if part.standing.verdict.ready]
        if ready:  # the tokens came from this engine, of whatever rank
            self._whole.inherit(max(ready, key=_proven_at))
            self.join_up()
        else:
            self.join_up()
            self._whole.tell(Registered(self._shared.clock(), canary=True))

    def join_up(self) -> None:
        """Judge the engine as a whole again."""
        board, parts = self._shared.board, tuple(self.parts.values())
        ready = [part for part in parts if part.standing.verdict.ready]
        self.parts.clear()
        self._scraper.ranks.clear()
        self._whole.given_way = False
        for part in parts:
            if part not in ready:
                board.unwatch(part.watched)
        if self._gathering is not None:  # before it has lost a rank that counts
            board.groups.disband(self._gathering)
            self._gathering = None
        for part in ready:
            board.unwatch(part.watched)

    def forget(self) -> None:
        """Begin again, with another engine."""
        self.join_up()
        self._strays = False
        self._stillness = Stillness(self._stillness.budget)

    def note(self) -> str:
        """Say how the ranks are told apart, for people; empty where there are none."""
        if self.parts:
            return f"{len(self.parts)}, each asked by canaries that are directed to it"
        if self._strays:
            return "not told apart: canaries do not reach the ranks that they are directed to"
        group = self._shared.board.groups.of(self._whole.watched.address)
        return "" if group is None else f"left together, as a member of {group.group.address}"

    def _split(self, wanted: set[int]) -> None:
        shared, whole = self._shared, self._whole
        board, before = shared.board, whole.standing
        if self._gathering is None:
            group = Group.of(whole.watched.address, Kind.DATA_PARALLEL, self._policy)
            self._gathering = board.groups.gather(group)
            logger.info("%s: %d ranks, of which each is asked", whole.watched.address, len(wanted))
        for rank in sorted(set(self.parts) - wanted):
            part = self.parts.pop(rank)
            self._scraper.ranks.pop(rank, None)
            board.groups.leave(self._gathering, part.watched.address)
            board.unwatch(part.watched)
        for rank in sorted(wanted - set(self.parts)):
            part = self.parts[rank] = self._new(rank, self._gathering)
            if before.verdict.ready and not whole.given_way:
                part.inherit(before)
        if not whole.given_way:
            whole.given_way = True
            whole.tell(Registered(shared.clock(), canary=False))

    def _new(self, rank: int, gathering: Gathering) -> Part:
        board, address = self._shared.board, rank_address(self._whole.watched.address, rank)
        board.groups.join(gathering, address, rank=rank)
        settings = board.settings
        stall = settings.health_check_busy_stall
        pace = busy_pace(interval=settings.scrape_interval, stall=stall)
        book = self._scraper.ranks[rank] = Book(stall=stall, pace=pace)
        return Part(self._shared, book, address, rank=rank)

    def _watch_stillness(self, told: Mapping[int, Counters]) -> None:
        board, watched = self._shared.board, self._whole.watched
        for rank, seconds in self._stillness.after(told, at=self._shared.clock()).items():
            word = f"rank_{rank}_still"
            if seconds is None:
                board.mend(watched, word, f"rank {rank} moves, or has nothing to do")
            else:
                told_of = f"rank {rank} has work and has not moved for {seconds:.1f} s; others have"
                board.flaw(watched, word, told_of)


def _proven_at(standing: Standing) -> float:
    return -math.inf if standing.proven_at is None else standing.proven_at
