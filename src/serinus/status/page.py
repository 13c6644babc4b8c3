"""The control page, as the worker writes it: heartbeats and a few words that are always current."""

from __future__ import annotations

import mmap
import os

from serinus.status.process import layout

__all__ = ["ControlPage"]


class ControlPage:
    """4 KiB of memory shared with the status process; times are monotonic nanoseconds."""

    def __init__(self, *, started: int) -> None:
        self.descriptor = os.memfd_create("serinus-page")
        os.ftruncate(self.descriptor, layout.PAGE_BYTES)
        self._map = mmap.mmap(self.descriptor, layout.PAGE_BYTES)
        self._words = memoryview(self._map).cast("Q")
        self._words[layout.STARTED] = started

    def beat_loop(self, now: int) -> None:
        """Say that the event loop runs; 0 says that none is attached."""
        self._words[layout.LOOP_BEAT] = now

    def beat_thread(self, now: int) -> None:
        """Say that the status thread runs."""
        self._words[layout.THREAD_BEAT] = now

    def lease_until(self, until: int) -> None:
        """Excuse a blocked loop until then; 0 ends the lease."""
        self._words[layout.LEASE_UNTIL] = until

    @property
    def child_beat(self) -> int:
        """When the status process last went round its loop."""
        return self._words[layout.CHILD_BEAT]

    @property
    def acknowledged(self) -> int:
        """The sequence number of the last document that the status process took."""
        return self._words[layout.ACKNOWLEDGED]

    @property
    def wants_details(self) -> int:
        """When the status process last asked for fresh details."""
        return self._words[layout.WANT_DETAILS]

    @property
    def wants_metrics(self) -> int:
        """When the status process last asked for fresh metrics."""
        return self._words[layout.WANT_METRICS]

    def renew(self, now: int) -> None:
        """Prepare for another status process: it counts from one, and has until then to begin."""
        self._words[layout.ACKNOWLEDGED] = 0
        self._words[layout.CHILD_BEAT] = now

    def close(self) -> None:
        """Give the memory back."""
        self._words.release()
        self._map.close()
        os.close(self.descriptor)
