"""Asking the worker for fresher documents: seldom, together, and never in vain."""

from __future__ import annotations

import posix

from serinus.status.process import layout
from serinus.status.process.board import Board

PATIENCE = 0.1
"""Seconds that an answer waits for a fresher document."""
PATIENCE_NS = int(PATIENCE * 1e9)
PACE_NS = 200_000_000
"""The worker is asked for a document at most this often."""

WORDS = {layout.DETAILS: layout.WANT_DETAILS, layout.METRICS: layout.WANT_METRICS}


class Wishes:
    """Says whether to wait for a document, and rings the worker's bell (an eventfd) for it."""

    def __init__(self, words: memoryview, bell: int, board: Board) -> None:
        self._words = words
        self._bell = bell
        self._board = board
        self._asked = dict.fromkeys(WORDS, -PACE_NS)

    def worth_waiting(self, kind: int, now: int) -> bool:
        """Whether a fresher document of this kind is about to come; it is asked for if need be."""
        if self._board.asks_in_vain:
            return False
        since = now - self._asked[kind]
        if since < PATIENCE_NS:
            return self._board.taken(kind) <= self._asked[kind]
        if since < PACE_NS:
            return False
        self._asked[kind] = now
        self._words[WORDS[kind]] = now
        try:
            posix.eventfd_write(self._bell, 1)
        except BlockingIOError:  # it rings already, and nobody has come to the door
            return False
        return True
