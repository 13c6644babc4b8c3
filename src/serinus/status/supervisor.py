"""Keeping one status process running: started, watched, replaced, ended.

A thread of its own does it, and beats for the worker's interpreter as a whole while it is at it:
when the GIL is held, this thread is as silent as everything else.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable

from serinus.errors import StatusError
from serinus.status.launcher import Child, Launcher
from serinus.status.outbox import Outbox
from serinus.status.page import ControlPage

__all__ = ["Supervisor"]

logger = logging.getLogger("serinus.status")

BEAT_MS = 100
SECOND = 1_000_000_000
UP_SECONDS = 5.0
STALLED = 4 * SECOND
"""A status process that does not go round its loop for so long, due each 0.5 s, is replaced."""
BIRTH = 5 * SECOND
"""What a new one has for its first round."""
PROVEN = 10 * SECOND
"""One that lived so long is replaced at once; after less, the wait doubles, up to the longest."""
FIRST_WAIT = SECOND // 10
LONGEST_WAIT = 5 * SECOND
END_SECONDS = 1.0


class Supervisor:
    """The owner of the status process."""

    def __init__(
        self,
        launcher: Launcher,
        page: ControlPage,
        outbox: Outbox,
        *,
        clock_ns: Callable[[], int],
    ) -> None:
        self._launcher = launcher
        self._page = page
        self._outbox = outbox
        self._clock_ns = clock_ns
        self._child: Child | None = None
        self._launched = 0
        self._due = 0
        self._wait = 0
        self._beaten = 0
        self._on_time_since = 0
        self._stopping = False
        self._stop = os.eventfd(0)
        self._thread = threading.Thread(target=self._run, name="serinus-status", daemon=True)

    @property
    def child_pid(self) -> int | None:
        """The id of the status process, None while there is none."""
        child = self._child
        return None if child is None else child.pid

    def start(self) -> None:
        """Start the first status process and wait until it answers; raises StatusError."""
        now = self._clock_ns()
        self._beaten = self._on_time_since = now
        self._page.beat_thread(now)
        child = self._launch(now)
        if not child.wait_until_up(UP_SECONDS):
            ended = child.ends_within(END_SECONDS)
            status = self._bury()
            raise StatusError(
                f"the status process ended with status {status}; its own message is on stderr"
                if ended
                else f"the status process did not come up in {UP_SECONDS:g} s"
            )
        self._thread.start()

    def stop(self) -> None:
        """End the status process and the thread; takes about two seconds at the very most."""
        self._stopping = True
        os.eventfd_write(self._stop, 1)
        if self._thread.ident is not None:
            self._thread.join(timeout=UP_SECONDS)
        self._outbox.say_goodbye()
        if self._child is not None:
            self._child.ends_within(END_SECONDS)
            self._bury()
        os.close(self._stop)

    def forget(self) -> None:
        """Let go of everything in a forked copy of the worker."""
        self._stopping = True
        os.close(self._stop)
        if self._child is not None:
            self._child.forget()
            self._child = None

    def _run(self) -> None:
        while not self._stopping:
            waiting = select.poll()
            waiting.register(self._stop, select.POLLIN)
            if self._child is not None:
                waiting.register(self._child.descriptor, select.POLLIN)
            waiting.poll(BEAT_MS)
            try:
                self._round()
            except Exception:
                logger.exception("the status process could not be looked after")

    def _round(self) -> None:
        now = self._clock_ns()
        if now - self._beaten > SECOND:
            # We were late ourselves, so the status process may have been held up just as we were.
            self._on_time_since = now
        self._beaten = now
        self._page.beat_thread(now)
        self._outbox.flush()
        if self._stopping:
            return
        if self._child is None:
            if now >= self._due:
                self._relaunch(now)
        elif self._child.ends_within(0):
            self._replace(now, "ended")
        elif min(now - self._page.child_beat, now - self._on_time_since) > STALLED:
            self._replace(now, "stalled")

    def _replace(self, now: int, what: str) -> None:
        if now - self._launched > PROVEN:
            self._wait = 0
        self._due = now + self._wait
        status = self._bury()
        logger.warning(
            "the status process %s (exit status %s); another one starts in %.1f s on its socket",
            what,
            status,
            self._wait / SECOND,
        )
        self._wait = min(max(FIRST_WAIT, 2 * self._wait), LONGEST_WAIT)
        if self._due <= now:
            self._relaunch(now)

    def _relaunch(self, now: int) -> None:
        try:
            self._launch(now)
        except StatusError as error:
            self._due = now + max(FIRST_WAIT, self._wait)
            self._wait = min(max(FIRST_WAIT, 2 * self._wait), LONGEST_WAIT)
            logger.error("%s; next try in %.1f s", error, (self._due - now) / SECOND)  # noqa: TRY400

    def _launch(self, now: int) -> Child:
        self._page.renew(now + BIRTH - STALLED)
        self._launched = now
        child = self._child = self._launcher.launch()
        self._outbox.connect(child.channel, lambda: self._page.acknowledged)
        return child

    def _bury(self) -> int | None:
        """Make sure that the status process has ended, and let go of it."""
        child, self._child = self._child, None
        self._outbox.disconnect()
        if child is None:
            return None
        child.kill()
        child.ends_within(END_SECONDS)
        return child.reap()
