"""Documents on their way to the status process: only the newest of each kind, never waiting.

A status process that does not take them (stopped, or gone) costs the worker nothing: what cannot
be sent stays here, is replaced by what is newer, and is tried again at each heartbeat.
"""

from __future__ import annotations

import marshal
import os
import socket
import threading
from array import array
from collections.abc import Callable
from typing import Any

from serinus.status.process import layout

__all__ = ["Outbox"]

NEVER_WAIT = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)
"""Nor raise SIGPIPE, which a worker may have set back to its deadly default."""
WINDOW = 16
"""Documents sent and not taken yet, at most; this bounds the memory files in flight."""


class Outbox:
    """Sends documents to whichever status process is connected. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._acknowledged: Callable[[], int] = int
        self._newest: dict[int, tuple[tuple[object, ...] | None, bytes]] = {}
        self._unsent: set[int] = set()
        self._sent = 0

    def put(self, kind: int, content: bytes, head: tuple[object, ...] | None = None) -> bool:
        """Replace the document of this kind and send it; return False if nothing in it is new.

        It is sent all the same: somebody may be waiting to hear just that.
        """
        with self._lock:
            news = self._newest.get(kind) != (head, content)
            self._newest[kind] = (head, content)
            self._unsent.add(kind)
            self._flush()
            return news

    def connect(self, channel: socket.socket, acknowledged: Callable[[], int]) -> None:
        """Send everything to a status process that has just been started.

        `acknowledged` tells how many of its messages it has taken.
        """
        with self._lock:
            self._channel = channel
            self._acknowledged = acknowledged
            self._sent = 0
            self._unsent = set(self._newest)
            self._flush()

    def disconnect(self) -> None:
        """Keep everything until there is another status process."""
        with self._lock:
            self._channel = None

    def flush(self) -> None:
        """Try again to send what could not be sent."""
        with self._lock:
            self._flush()

    def say_goodbye(self) -> None:
        """Tell the status process that its port is closed on purpose."""
        with self._lock:
            if self._channel is not None:
                self._send((0, layout.CLOSE, None, None), None)
                self._channel = None

    def _flush(self) -> None:
        for kind in sorted(self._unsent):
            if self._channel is None or self._sent - self._acknowledged() >= WINDOW:
                return
            head, content = self._newest[kind]
            if len(content) <= layout.INLINE_BYTES:
                sent = self._send((self._sent + 1, kind, head, content), None)
            else:
                sent = self._send((self._sent + 1, kind, head, None), content)
            if not sent:
                return
            self._sent += 1
            self._unsent.discard(kind)

    def _send(self, message: tuple[Any, ...], large: bytes | None) -> bool:
        """Send one message, with a large document beside it; False if it could not go now."""
        if self._channel is None:
            return False
        memory = None
        extra = []
        try:
            if large is not None:
                memory = os.memfd_create("serinus-document")
                os.write(memory, large)
                extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [memory]))]
            self._channel.sendmsg([marshal.dumps(message)], extra, NEVER_WAIT)
        except BlockingIOError:
            return False
        except OSError:
            # No descriptor or memory is left, or the status process is gone: the next heartbeat
            # tries again, or the supervisor brings another process.
            return False
        finally:
            if memory is not None:
                os.close(memory)
        return True
