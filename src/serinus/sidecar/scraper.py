"""Reads an engine's metrics page and tells what it says of users, our own canaries left out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from serinus.engines import Counters, Engine, Samples
from serinus.engines.capabilities import TellsRanks, TellsSleep
from serinus.engines.exposition import MAX_PAGE_BYTES, read_page
from serinus.errors import EngineError
from serinus.sidecar.book import Book, together
from serinus.sidecar.client import EngineClient
from serinus.sidecar.contact import ContactError, Trouble
from serinus.sidecar.ledger import Seen
from serinus.sidecar.punctuality import Punctuality

__all__ = ["Scraper"]

_NO_PAGE = frozenset({404, 405, 501})
_OUR_OWN = 0.25
"""Seconds by which our own loop may be late and still call a page late."""
_TRY_AGAIN = 60.0
"""Seconds before a page that was not there is looked for again."""


class Scraper:
    """One page at a time: who asks while another is under way waits, and takes what that brought.

    `port` is where the page is, the engine's usual one if None. `book` is that of the whole engine;
    while there are `ranks`, theirs are read in its place. `heard` is called with what each reading
    says of the whole.
    """

    def __init__(
        self,
        engine: Engine,
        client: EngineClient,
        book: Book,
        *,
        heard: Callable[[Seen], None],
        port: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.book = book
        self.ranks: dict[int, Book] = {}
        self.ranked: Callable[[Mapping[int, Counters]], None] = lambda _ranks: None
        """Called with the ranks that a page tells of, before it is read."""
        self.late: Callable[[], None] = lambda: None
        """Called when a page does not come though it should have come long ago."""
        self.trouble = ""
        """Why there was no reading last time; empty if there was."""
        self.last: Seen | None = None
        self.asleep: bool | None = None
        """Whether the page said last that the engine sleeps; None where it does not say."""
        self._engine = engine
        self._client = client
        self._heard = heard
        self._port = port if port is not None else engine.metrics_port
        self._clock = clock
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._punctuality = Punctuality()
        self._absent_until = float("-inf")

    def has_page(self) -> bool:
        """Whether there is a page, as far as is known."""
        return self._engine.metrics_path is not None and self._clock() >= self._absent_until

    def forget(self) -> None:
        """Begin again, with another engine."""
        for book in self._books():
            book.forget()
        self.trouble, self.last, self.asleep = "", None, None
        self._punctuality = Punctuality()
        self._absent_until = float("-inf")

    async def read(self, *, seconds: float) -> Seen:
        """Return a reading that was taken after this call began.

        Raises EngineError if there is none: ContactError if the engine could not be spoken to.
        """
        wanted = self._clock()
        try:
            async with asyncio.timeout(seconds), self._lock:
                if self.last is not None and self.last.at >= wanted and not self.trouble:
                    return self.last
                return await self._read(seconds)
        except TimeoutError as error:
            self._fail(f"no metrics within {seconds:g} s")
            raise ContactError(Trouble.SILENT, self.trouble) from error
        except EngineError as error:
            self._fail(str(error))
            raise

    async def _read(self, seconds: float) -> Seen:
        path = self._engine.metrics_path
        if path is None:
            raise EngineError("the engine has no metrics page")
        began = self._clock()
        with self._timed():
            page = await self._client.get(
                path, seconds=seconds, limit=MAX_PAGE_BYTES, port=self._port
            )
        if page.status in _NO_PAGE:
            self._absent_until = self._clock() + _TRY_AGAIN
        if page.status != 200:
            raise EngineError(f"no metrics page (HTTP {page.status})")
        samples = read_page(page.body, names=self._engine.metric_names)
        seen = self._taken(samples, began, self._clock())
        self.trouble, self.last = "", seen
        if isinstance(self._engine, TellsSleep):
            self.asleep = self._engine.asleep(samples)
        self._heard(seen)
        return seen

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Say it when a page is late, and learn how long those take that come."""
        began, after = self._clock(), self._punctuality.late_after
        if after is not None:
            self._expect(within=after)
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        self._punctuality.took(self._clock() - began)

    def _expect(self, *, within: float) -> None:
        at = self._clock() + within
        self._timer = asyncio.get_running_loop().call_later(within, self._overdue, at)

    def _overdue(self, at: float) -> None:
        """Say that the page is late; where we are late ourselves it may have come meanwhile."""
        self._timer = None
        if self._clock() - at < _OUR_OWN:
            self.late()
        else:
            self._expect(within=_OUR_OWN)

    def _taken(self, samples: Samples, began: float, at: float) -> Seen:
        engine = self._engine
        found = engine.rank_counters(samples) if isinstance(engine, TellsRanks) else {}
        self.ranked(found)
        if not self.ranks:
            return self.book.read(engine.counters(samples), began=began, at=at)
        seen = [
            book.read(found.get(rank, Counters()), began=began, at=at)
            for rank, book in tuple(self.ranks.items())
        ]
        return together(seen, at=at)

    def _books(self) -> tuple[Book, ...]:
        return (self.book, *self.ranks.values())

    def _fail(self, trouble: str) -> None:
        self.trouble = trouble
        for book in self._books():
            book.trouble = trouble
