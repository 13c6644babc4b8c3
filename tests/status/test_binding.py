"""Where it listens, and the exact words when it cannot."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from serinus.errors import SettingsError
from serinus.status import StatusConfig
from serinus.status.binding import Binding, bind

NOT_OURS = (
    "this machine does not have that address; accepted: one of its own, such as 0.0.0.0, :: or "
    "127.0.0.1"
)
NO_FOLDER = "the folder does not exist; accepted: a path in a folder that does"
IN_THE_WAY = (
    "a file that is no socket is in the way; accepted: a path where nothing is, or a socket that "
    "nobody listens on"
)


class Clock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def bound(config: StatusConfig, clock: Clock | None = None) -> Binding:
    """Bind in virtual time."""
    clock = clock or Clock()
    return bind(config, clock=clock, sleep=clock.sleep)


def refusal(config: StatusConfig, clock: Clock | None = None) -> str:
    """The message of the refusal to bind."""
    with pytest.raises(SettingsError) as caught:
        bound(config, clock).listener.close()
    return str(caught.value)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://0.0.0.0:"), ("::1", "http://[::1]:")],
)
def test_a_free_port(host: str, url: str) -> None:
    """Port 0 is any free one, and the address says which."""
    binding = bound(StatusConfig(host=host))
    with binding.listener:
        assert binding.port
        assert binding.address == f"{url}{binding.port}"


def test_every_address_of_either_family() -> None:
    """`::` is reached over IPv4 too, as in a cluster of two families."""
    binding = bound(StatusConfig(host="::"))
    with binding.listener, socket.create_connection(("127.0.0.1", binding.port or 0), timeout=5):
        pass


def test_a_name_is_looked_up() -> None:
    """`localhost` is an address of this machine."""
    binding = bound(StatusConfig(host="localhost"))
    with binding.listener:
        assert binding.port


def test_a_port_in_use(taken: int) -> None:
    """It is tried for the linger time and half a second, then the place and the cause are told."""
    clock = Clock()
    assert refusal(StatusConfig(host="127.0.0.1", port=taken, linger=2.0), clock) == (
        f"system_port: {taken} on system_host '127.0.0.1' is in use by another process "
        "(tried for 2.5 s); accepted: a free port, or 0 for any free one"
    )
    assert clock.now == pytest.approx(2.5, abs=0.1)


def test_a_port_that_becomes_free_in_time(taken: int) -> None:
    """The port of a worker that has just died is waited for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        class Ending(Clock):
            def sleep(self, seconds: float) -> None:
                super().sleep(seconds)
                if self.now > 0.5:
                    listener.close()

        binding = bound(StatusConfig(host="127.0.0.1", port=port), Ending())
    with binding.listener:
        assert binding.port == port


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        (
            "192.0.2.1",
            9090,
            "system_port: 9090 on system_host '192.0.2.1': " + NOT_OURS,
        ),
        (
            "no.such.host.invalid",
            9090,
            "system_port: 9090 on system_host 'no.such.host.invalid': the host cannot be found (",
        ),
        (
            "a" * 64 + ".example",
            9090,
            f"system_port: 9090 on system_host '{'a' * 64}.example': the host cannot be found (",
        ),
    ],
)
def test_a_bad_host(host: str, port: int, message: str) -> None:
    """The host, the port, the cause, and what would do."""
    assert refusal(StatusConfig(host=host, port=port)).startswith(message)


def test_a_port_for_the_superuser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port below 1024 may be out of reach."""

    class Forbidding(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Forbidding)
    assert refusal(StatusConfig(host="127.0.0.1", port=80)) == (
        "system_port: 80 on system_host '127.0.0.1': this process may not listen there "
        "(Permission denied); accepted: a free port from 1024 on, or 0 for any free one"
    )


def test_a_unix_socket(tmp_path: Path) -> None:
    """It is its owner's alone, from its first moment, and its file goes with it."""
    path = tmp_path / "status.sock"
    old = os.umask(0)
    try:
        binding = bound(StatusConfig(socket_path=str(path)))
    finally:
        os.umask(old)
    with binding.listener:
        assert (binding.address, binding.port) == (f"unix:{path}", None)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    binding.remove_file()
    assert not path.exists()


def test_a_file_that_is_no_longer_ours_stays(tmp_path: Path) -> None:
    """What another has put in its place is not removed."""
    path = tmp_path / "status.sock"
    binding = bound(StatusConfig(socket_path=str(path)))
    binding.listener.close()
    path.rename(tmp_path / "kept")  # so that its inode is not given again
    path.write_text("another's")
    binding.remove_file()
    assert path.exists()


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    """A socket's file that nobody listens on is in nobody's way."""
    config = StatusConfig(socket_path=str(tmp_path / "status.sock"))
    bound(config).listener.close()
    with bound(config).listener as listener:
        assert listener.getsockname() == config.socket_path


def test_a_live_unix_socket_is_in_use(tmp_path: Path) -> None:
    """One that somebody listens on is not taken away."""
    path = str(tmp_path / "status.sock")
    config = StatusConfig(socket_path=path)
    with bound(config).listener:
        assert refusal(config) == (
            f"system_socket: {path!r} is in use by another process (tried for 1.5 s); accepted: "
            "a path that can be written and where nobody listens"
        )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "missing/status.sock",
            "the folder does not exist; accepted: a path in a folder that does",
        ),
        (
            "file",
            IN_THE_WAY,
        ),
        ("file/status.sock", NO_FOLDER),
    ],
)
def test_a_bad_path(tmp_path: Path, name: str, message: str) -> None:
    """The path, the cause, and what would do."""
    (tmp_path / "file").write_text("")
    path = str(tmp_path / name)
    assert refusal(StatusConfig(socket_path=path)) == f"system_socket: {path!r}: {message}"


def test_a_path_that_is_too_long() -> None:
    """The kernel's limit is told in bytes."""
    path = "/tmp/" + "ü" * 60
    assert refusal(StatusConfig(socket_path=path)) == (
        f"system_socket: {path!r}: the path is 125 bytes long; accepted: at most 107 bytes"
    )


def test_a_path_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may not be written."""

    class Forbidding(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Forbidding)
    path = str(tmp_path / "status.sock")
    assert refusal(StatusConfig(socket_path=path)) == (
        f"system_socket: {path!r}: this process may not listen there (Permission denied); "
        "accepted: a path that can be written and where nobody listens"
    )
