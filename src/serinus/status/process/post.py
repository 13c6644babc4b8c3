"""The worker's documents as they arrive: whole messages over a socket, large ones in memory files.

A document is replaced in one assignment, so no answer can show half of one.
"""

from __future__ import annotations

import marshal
import posix
import sys
from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, MSG_DONTWAIT, socket

from serinus.status.process import layout
from serinus.status.process.board import Board

MESSAGES_A_TURN = 32


class Post:
    """Takes documents from the worker and puts them on the board."""

    def __init__(self, sock: socket, words: memoryview, board: Board) -> None:
        self._sock = sock
        self._words = words
        self._board = board
        self.closed = False
        """The worker has closed its status port on purpose."""
        self.lost = False
        """The worker's end is gone: it died, or has become another program."""

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._sock.fileno()

    def greet(self) -> None:
        """Tell the worker that answers can be had."""
        try:
            self._sock.send(layout.UP)
        except OSError:
            self.lost = True

    def collect(self) -> set[int]:
        """Take what has come, and say which kinds of documents it was."""
        kinds: set[int] = set()
        for _ in range(MESSAGES_A_TURN):
            try:
                message, extra, _, _ = self._sock.recvmsg(
                    layout.MESSAGE_BYTES, CMSG_SPACE(4), MSG_DONTWAIT | MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                break
            except OSError:
                message, extra = b"", []
            if not message:
                self.lost = True
                break
            sequence, kind, head, content = marshal.loads(message)
            if kind == layout.CLOSE:
                self.closed = True
                break
            for _level, _type, descriptors in extra:
                content = _content(int.from_bytes(descriptors[:4], sys.byteorder))
            self._board.take(kind, head, content)
            self._words[layout.ACKNOWLEDGED] = sequence
            kinds.add(kind)
        return kinds


def _content(descriptor: int) -> bytes:
    try:
        return posix.pread(descriptor, posix.fstat(descriptor).st_size, 0)
    finally:
        posix.close(descriptor)
