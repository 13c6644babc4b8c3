"""Connections that notice when the machine at their other end is gone.

A process that dies has its connections closed by its kernel; a machine that loses its power, or a
network that swallows everything, closes nothing, and whoever only reads would wait for ever.
"""

from __future__ import annotations

import asyncio
import socket

__all__ = ["GONE", "keep_alive", "kept_alive"]

GONE = 60
"""Seconds without a word of the other machine after which it is gone; the first question comes
after a quarter of them. A process that says nothing for longer does not matter, as its kernel
answers; one that takes nothing of what was sent to it for so long is given up all the same."""


def keep_alive(writer: asyncio.StreamWriter) -> None:
    """Have a connection fail when the other machine is gone."""
    kept_alive(writer.get_extra_info("socket"))


def kept_alive(place: socket.socket) -> None:
    """Set a socket of TCP so; what a system has no option for stays as it is there."""
    place.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": GONE // 4, "TCP_KEEPINTVL": GONE // 4, "TCP_KEEPCNT": 3}
    # For what was sent and not acknowledged, about which nothing is asked (tcp(7)).
    options["TCP_USER_TIMEOUT"] = GONE * 1000
    for name, value in options.items():
        if (option := getattr(socket, name, None)) is not None:
            place.setsockopt(socket.IPPROTO_TCP, option, value)
