"""The listening socket of the status port, or a message that says why there is none."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import time
from collections.abc import Callable
from typing import NamedTuple

from serinus.errors import SettingsError
from serinus.status.config import StatusConfig

__all__ = ["Binding", "bind"]

BACKLOG = 4096
"""Callers that may wait to be accepted; the kernel cuts it to net.core.somaxconn."""
SOCKET_MODE = 0o600
"""A unix socket is for its owner: peers on it may see details."""
LONGEST_PATH = 107
RETRY_SECONDS = 0.05
PATIENCE_SECONDS = 0.5


class Binding(NamedTuple):
    """A listening socket and its address.

    `port` is None of a unix socket; that has a `path`, and its file's device and inode, to know
    it again.
    """

    listener: socket.socket
    address: str
    port: int | None = None
    path: str | None = None
    inode: tuple[int, int] | None = None

    def remove_file(self) -> None:
        """Remove the unix socket's file, unless another has taken its place."""
        if self.path is None:
            return
        with contextlib.suppress(OSError):
            if _inode(self.path) == self.inode:
                os.unlink(self.path)


def bind(
    config: StatusConfig,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Binding:
    """Listen where the configuration says.

    An address in use is tried again for as long as the status process of a worker that died may
    linger, and half a second more. Raises SettingsError that names the place and the cause.
    """
    patience = config.linger + PATIENCE_SECONDS
    give_up = clock() + patience
    while True:
        try:
            return _bind_once(config)
        except _InUseError:
            if clock() >= give_up:
                raise SettingsError(
                    f"{_place(config)} is in use by another process (tried for {patience:g} s); "
                    f"accepted: {_alternative(config)}"
                ) from None
            sleep(RETRY_SECONDS)


class _InUseError(Exception):
    """Somebody listens there."""


def _bind_once(config: StatusConfig) -> Binding:
    if config.socket_path is not None:
        return _bind_path(config, config.socket_path)
    listener = _bind_port(config)
    host, port = listener.getsockname()[:2]
    return Binding(
        listener, f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", port
    )


def _bind_port(config: StatusConfig) -> socket.socket:
    try:
        # as bytes, an ASCII name does not load the codec for international ones (3 ms)
        host = config.host.encode() if config.host.isascii() else config.host
        found = socket.getaddrinfo(
            host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        raise SettingsError(
            f"{_place(config)}: the host cannot be found ({error}); accepted: an address of this "
            "machine, such as 0.0.0.0, :: or 127.0.0.1"
        ) from error
    refusal: OSError | None = None
    for family, kind, protocol, _, address in found:  # `localhost` may be of either family
        try:
            return _listening(family, kind, protocol, address)
        except OSError as error:
            refusal = refusal or error
    raise _explained(refusal or OSError(errno.EADDRNOTAVAIL, "no address"), config) from refusal


def _listening(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it: answers leave at once.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:  # `::` is every address, of either family
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.settimeout(0)
    except OSError:
        listener.close()
        raise
    return listener


def _bind_path(config: StatusConfig, path: str) -> Binding:
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise SettingsError(
            f"{_place(config)}: the path is {len(os.fsencode(path))} bytes long; accepted: at most "
            f"{LONGEST_PATH} bytes"
        )
    _clear(config, path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(listener.fileno(), SOCKET_MODE)  # the mode that the file is created with
        listener.bind(path)
        listener.listen(BACKLOG)
        listener.settimeout(0)
        inode = _inode(path)
    except OSError as error:
        listener.close()
        raise _explained(error, config) from error
    return Binding(listener, f"unix:{path}", path=path, inode=inode)


def _clear(config: StatusConfig, path: str) -> None:
    """Remove a socket's file that nobody listens on; raise if somebody does."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise SettingsError(
                f"{_place(config)}: a file that is no socket is in the way; accepted: a path "
                "where nothing is, or a socket that nobody listens on"
            )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(0)
            caller.connect(path)
        raise _InUseError
    except FileNotFoundError:
        return
    except BlockingIOError:  # somebody listens, and is busy
        raise _InUseError from None
    except ConnectionRefusedError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    except OSError as error:
        raise _explained(error, config) from error


def _inode(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _explained(error: OSError, config: StatusConfig) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return _InUseError()
    place = _place(config)
    if error.errno == errno.EADDRNOTAVAIL:
        return SettingsError(
            f"{place}: this machine does not have that address; accepted: one of its own, such as "
            "0.0.0.0, :: or 127.0.0.1"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SettingsError(
            f"{place}: this process may not listen there ({error.strerror}); accepted: "
            f"{_alternative(config)}"
        )
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return SettingsError(
            f"{place}: the folder does not exist; accepted: a path in a folder that does"
        )
    return SettingsError(f"{place}: {error.strerror}; accepted: {_alternative(config)}")


def _place(config: StatusConfig) -> str:
    if config.socket_path is not None:
        return f"system_socket: {config.socket_path!r}"
    port, host = config.names
    return f"{port}: {config.port} on {host} {config.host!r}"


def _alternative(config: StatusConfig) -> str:
    if config.socket_path is not None:
        return "a path that can be written and where nobody listens"
    if 0 < config.port < 1024:
        return "a free port from 1024 on, or 0 for any free one"
    return "a free port, or 0 for any free one"
