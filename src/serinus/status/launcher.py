"""Starting the status process, and the hold that the worker has on one.

The process is a bare interpreter (`-I -S -B`: no environment, no site, no cache) that gets its
code compiled, in a memory file. Nothing is looked up or compiled again when it is started, and
one started days later, after the package was upgraded in place, still fits its worker.
"""

from __future__ import annotations

import contextlib
import importlib.util
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from types import CodeType

from serinus.errors import StatusError
from serinus.status.process import layout

__all__ = ["Child", "Launcher"]

PACKAGE = "serinus.status.process"
MODULES = (
    "layout",
    "belief",
    "telemetry",
    "wire",
    "plan",
    "board",
    "connection",
    "wishes",
    "post",
    "clerk",
    "service",
    "main",
)
"""What the process runs, each after those that it imports."""

BOOTSTRAP = """# Serinus' status process: answers probes for its parent
import marshal, posix, sys
memory = int(sys.argv[1])
bundle = marshal.loads(posix.pread(memory, posix.fstat(memory).st_size, 0))
posix.close(memory)
name = bundle["package"]
package = sys.modules[name] = type(sys)(name)
for part, code in bundle["code"]:
    module = sys.modules[name + "." + part] = type(sys)(name + "." + part)
    exec(code, module.__dict__)
    setattr(package, part, module)
package.main.main({**bundle["config"], "channel": int(sys.argv[2])})
"""
CHANNEL_BYTES = 64 * 1024
"""The room for messages on their way: beyond it the worker keeps the newest document itself."""
KEPT_ENVIRONMENT = ("LD_LIBRARY_PATH", "PATH")
"""What the interpreter may need to find its shared libraries; the rest is not its business."""


class Child:
    """A running status process."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self._process = process
        self.pid = process.pid
        self.channel = channel
        self.descriptor = os.pidfd_open(process.pid)
        """Readable once the process has ended."""

    def wait_until_up(self, seconds: float) -> bool:
        """Wait for the process to say that answers can be had; False if it never does."""
        if not _readable([self.channel.fileno(), self.descriptor], seconds):
            return False
        with contextlib.suppress(OSError):
            return self.channel.recv(len(layout.UP)) == layout.UP
        return False

    def ends_within(self, seconds: float) -> bool:
        """Wait for the process to end."""
        return _readable([self.descriptor], seconds)

    def kill(self) -> None:
        """Kill the process, even one that is stopped; it never kills a namesake."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)

    def reap(self) -> int | None:
        """Close what is held of an ended or killed process; return its exit status."""
        self.channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1.0)
        os.close(self.descriptor)
        return self._process.returncode

    def forget(self) -> None:
        """Close what a forked copy of the worker has inherited, and leave the process alone."""
        self.channel.close()
        os.close(self.descriptor)
        self._process.returncode = 0  # it is not ours to wait for


class Launcher:
    """Starts status processes that all serve the same socket with the same configuration."""

    def __init__(self, config: Mapping[str, object], *, descriptors: tuple[int, ...]) -> None:
        """Write down code and configuration; `descriptors` are those that `config` names."""
        bundle = marshal.dumps({"package": PACKAGE, "code": compiled(), "config": dict(config)})
        self._memory = os.memfd_create("serinus-status")
        os.write(self._memory, bundle)
        self._descriptors = descriptors

    def launch(self) -> Child:
        """Start a status process; raises StatusError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHANNEL_BYTES)
        try:
            with theirs:
                arguments = (str(self._memory), str(theirs.fileno()))
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-B", "-c", BOOTSTRAP, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(*self._descriptors, self._memory, theirs.fileno()),
                    env={key: os.environ[key] for key in KEPT_ENVIRONMENT if key in os.environ},
                    cwd="/",
                    start_new_session=True,
                )
            return Child(process, ours)
        except OSError as error:
            ours.close()
            raise StatusError(
                f"the status process could not be started with {sys.executable!r}: {error}"
            ) from error

    def close(self) -> None:
        """Forget code and configuration."""
        os.close(self._memory)


def compiled() -> list[tuple[str, CodeType]]:
    """Collect the code of the status process, in the order in which it is to run.

    Raises StatusError if this installation keeps no code (a frozen application may not).
    """
    return [(name, _code(f"{PACKAGE}.{name}")) for name in MODULES]


def _readable(descriptors: list[int], seconds: float) -> bool:
    waiting = select.poll()  # unlike select(2) it takes descriptors from 1024 on
    for descriptor in descriptors:
        waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))


def _code(name: str) -> CodeType:
    spec = importlib.util.find_spec(name)
    loader = None if spec is None else spec.loader
    get_code = getattr(loader, "get_code", None)
    code = None if get_code is None else get_code(name)
    if not isinstance(code, CodeType):
        raise StatusError(f"the code of {name} cannot be read: the status process needs it")
    return code
