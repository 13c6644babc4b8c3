"""A port that can be closed and opened again while its number stays ours.

A bound socket that never listens holds the number: a connection to it is refused by the kernel,
as it is to a closed port, and yet no other program can take it.
"""

from __future__ import annotations

import socket

from serinus.errors import SettingsError

__all__ = ["Place"]

BACKLOG = 128


class Place:
    """An address of ours, held from construction until `release`.

    Raises:
        SettingsError: The address is in use, or is not one of this machine; names `flag`.
    """

    def __init__(self, host: str, port: int, *, flag: str = "--port") -> None:
        self._flag = flag
        self._family, self._host = _resolved(host)
        self._port = port
        self._holder = self._bound()
        self._port = self._holder.getsockname()[1]

    @property
    def port(self) -> int:
        """The number, also when 0 was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """The address as a client writes it; a wildcard is written as loopback."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def listening(self) -> socket.socket:
        """Return a new socket that listens here; closing it closes the port.

        Raises:
            SettingsError: Another program has got in between.
        """
        listener = self._bound()
        try:
            listener.listen(BACKLOG)
        except OSError as failure:
            listener.close()
            raise self._unusable(failure) from failure
        return listener

    def release(self) -> None:
        """Give the number back."""
        self._holder.close()

    def _bound(self) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self._host, self._port))
        except OSError as failure:
            sock.close()
            raise self._unusable(failure) from failure
        sock.settimeout(0)  # the event loop does the waiting
        return sock

    def _unusable(self, failure: OSError) -> SettingsError:
        return SettingsError(
            f"{self._flag} {self._port}: {self._host}:{self._port} cannot be listened on: "
            f"{failure.strerror}; accepted: an address of this machine with a free port, "
            f"or {self._flag} 0 for any free one"
        )


def _resolved(host: str) -> tuple[socket.AddressFamily, str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as failure:
        raise SettingsError(
            f"--host '{host}': {failure.strerror}; accepted: an address or a name of this machine"
        ) from failure
    family, *_, address = found[0]
    return family, str(address[0])
