"""The status port's part in the worker's event loop: its heartbeat, and documents on request."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from serinus.status.outbox import Outbox
from serinus.status.page import ControlPage
from serinus.status.process import layout

if TYPE_CHECKING:
    import asyncio

__all__ = ["Attachment"]

logger = logging.getLogger("serinus.status")

BEAT_SECONDS = 0.1
SECOND = 1_000_000_000
DETAILS_PACE = 1 * SECOND
"""After a change, details are rendered again unasked, but not more often than this."""
DETAILS_AGE = 30 * SECOND
"""Older details are rendered again unasked, for the day when nobody can be asked any more."""


class Attachment:
    """Lives in the loop from its construction to `end`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        page: ControlPage,
        bell: int,
        outbox: Outbox,
        *,
        metrics: Callable[[], bytes],
        details: Callable[[], bytes],
        clock_ns: Callable[[], int],
    ) -> None:
        self._loop = loop
        self._page = page
        self._bell = bell
        self._outbox = outbox
        self._metrics = metrics
        self._details = details
        self._clock_ns = clock_ns
        self._details_at = 0
        self._details_due = 0
        self._metrics_at = 0
        self._failing: set[int] = set()
        loop.add_reader(bell, self._answer_the_bell)
        self._render(layout.METRICS, metrics)
        self._beat()

    def end(self) -> None:
        """Leave the loop."""
        self._timer.cancel()
        self._page.beat_loop(0)
        if not self._loop.is_closed():
            self._loop.remove_reader(self._bell)

    def details_have_changed(self) -> None:
        """Have the details rendered again soon. May be called from any thread."""
        self._details_due = self._details_at + DETAILS_PACE

    def renew_details(self) -> None:
        """Render the details now."""
        self._render_details(self._clock_ns())

    def _beat(self) -> None:
        self._timer = self._loop.call_later(BEAT_SECONDS, self._beat)
        now = self._clock_ns()
        self._page.beat_loop(now)
        if now >= self._details_due:
            self._render_details(now)

    def _answer_the_bell(self) -> None:
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            return
        now = self._clock_ns()
        if self._page.wants_metrics > self._metrics_at:
            self._metrics_at = now
            self._render(layout.METRICS, self._metrics)
        if self._page.wants_details > self._details_at:
            self._render_details(now)

    def _render_details(self, now: int) -> None:
        self._details_at = now
        self._details_due = now + DETAILS_AGE
        self._render(layout.DETAILS, self._details)

    def _render(self, kind: int, render: Callable[[], bytes]) -> None:
        try:
            content = render()
        except Exception:
            if kind not in self._failing:  # once, until it works again
                self._failing.add(kind)
                logger.exception("the %s could not be rendered", layout.KINDS[kind])
            return
        self._failing.discard(kind)
        self._outbox.put(kind, content)
