"""`serinus lease`: announce a planned pause to a worker or a sidecar, from outside.

It writes the file that the worker follows (`lease_file`) and then asks the status port whether it
was taken in. The status port itself takes nothing: who may write the file may take a lease.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from serinus.cli.probe import Address, ProbeError, get
from serinus.errors import SettingsError, excerpt
from serinus.runtime.lease_file import Announced, read_leases
from serinus.settings import Settings, load, status_token
from serinus.settings.kinds import RefusedError, Seconds

__all__ = ["add_arguments", "run"]

PORT = 9090
DONE, NOT_DONE, UNREACHABLE = 0, 1, 2
_SECONDS = Seconds(0.001)
_GLANCE = 0.1
_LOCAL = ("127.", "::1", "localhost")
EPILOG = f"""\
WHERE: the worker's status port (--on PORT, HOST:PORT, http://HOST:PORT or unix:PATH) says which
file it follows, if it is on this machine; or name the file (--file, or SERINUS_LEASE_FILE).

examples:
  serinus lease take --on 9090 --for 5m --reason weight_update
  serinus lease renew --on 9090 --for 5m --reason weight_update
  serinus lease release --on 9090 --reason weight_update
  serinus lease list --on 9090
  serinus lease take --file /run/serinus/leases.json --for 90s --reason sleep \\
      --endpoint serinus.vllm.generate

Until its end a lease makes silence count for nothing; errors, wrong answers and death still count.
`take` of a lease that runs already renews it.

exit codes: {DONE} done · {NOT_DONE} no such lease, or the worker has not taken it in
            {UNREACHABLE} no answer, no file, or a wrong command line
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to do, where, and for how long."""
    parser.usage = (
        "%(prog)s take|renew|release|list [--on ADDRESS] [--file FILE] [--for TIME]"
        " [--reason WORD] [--endpoint NAME] [--json] [--timeout SECONDS]"
    )
    parser.epilog = EPILOG
    parser.add_argument("do", metavar="ACTION", help="take, renew, release or list")
    parser.add_argument("--on", metavar="ADDRESS", help=f"the status port (default: {PORT} here)")
    parser.add_argument("--file", metavar="FILE", help="the file that the worker follows")
    parser.add_argument("--for", dest="seconds", metavar="TIME", help="how long, such as 90 or 5m")
    parser.add_argument("--reason", metavar="WORD", help="what for, such as weight_update")
    parser.add_argument("--endpoint", metavar="NAME", default="", help="of this endpoint alone")
    parser.add_argument("--json", action="store_true", help="list: print JSON")
    parser.add_argument(
        "--timeout", metavar="SECONDS", default="5", help="to be taken in (default: 5)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it, say what came of it, and return the exit code."""
    if arguments.do not in {"take", "renew", "release", "list"}:
        shown = excerpt(arguments.do, limit=40)
        raise SettingsError(f"lease {shown!r}: accepted: take, renew, release or list")
    settings = load().settings
    port = _Port(arguments, settings)
    if arguments.do == "list":
        return _list(port, as_lines=not arguments.json)
    if not arguments.reason:
        raise SettingsError("--reason is missing; accepted: a word such as weight_update")
    seconds = 0.0
    if arguments.do != "release":
        if arguments.seconds is None:
            raise SettingsError("--for is missing; accepted: a time such as 90, 90s or 5m")
        seconds = _read_seconds(arguments.seconds, "--for")
    try:
        return _change(arguments, port, seconds)
    except OSError as error:
        raise SettingsError(f"{port.file}: {error.strerror or error}") from error


class _Port:
    """The status port, as far as one was named or answers, and the file that it follows."""

    def __init__(self, arguments: argparse.Namespace, settings: Settings) -> None:
        self.seconds = _read_seconds(arguments.timeout, "--timeout")
        self.named = arguments.on is not None
        self.address = _address(arguments.on, settings)
        self._bearer = status_token(settings)
        self._path = settings.system_health_path
        self._file = arguments.file or settings.lease_file

    def details(self) -> Mapping[str, Any]:
        """Ask for the details; of a worker that starts, until it has any. Raises ProbeError."""
        until = time.monotonic() + self.seconds
        while True:
            details = self._ask(max(until - time.monotonic(), _GLANCE))
            if "leases" in details:
                return details
            if time.monotonic() >= until:
                raise ProbeError(f"the worker has told nothing yet, for {self.seconds:g} s")
            time.sleep(_GLANCE)

    def _ask(self, seconds: float) -> Mapping[str, Any]:
        address = self.address
        if not address.path:
            address = Address(address.host, address.port, address.socket_path, self._path)
        reply = get(address, query="?verbose", bearer=self._bearer, seconds=seconds)
        try:
            body: Any = json.loads(reply.body)
        except (ValueError, RecursionError):
            body = None
        details = body.get("details") if isinstance(body, dict) else None
        if not isinstance(details, dict):
            raise ProbeError("it shows no details: they are for peers on loopback, or need a token")
        return details

    @property
    def file(self) -> Path:
        """The file. Raises SettingsError if none is known."""
        if self._file is None:
            self._file = self._told()
        return Path(self._file)

    def _told(self) -> str:
        local = self.address.socket_path is not None or self.address.host.startswith(_LOCAL)
        if not local:
            raise SettingsError(
                f"{self.address} is on another machine: take the lease there, or name the file"
                " that both see by --file"
            )
        try:
            told = self.details().get("lease_file")
        except ProbeError as error:
            raise SettingsError(f"{self.address}: {error}; name the file by --file") from error
        if not isinstance(told, str):
            raise SettingsError(
                f"{self.address} follows no file of leases: start it with SERINUS_LEASE_FILE=FILE"
            )
        return told


def _change(arguments: argparse.Namespace, port: _Port, seconds: float) -> int:
    reason, endpoint, file = arguments.reason, arguments.endpoint, port.file
    with _locked(file):
        now = time.time()
        kept = {one.name: one for one in _read(file) if one.until > now}
        name = f"{reason} {endpoint}" if endpoint else reason
        if name not in kept and arguments.do != "take":
            print(f"no lease {name!r} in {file}: {', '.join(kept) or 'there is none'}")
            return NOT_DONE
        if arguments.do == "release":
            del kept[name]
        else:
            kept[name] = Announced(name, reason, now + seconds, endpoint)
        _write(file, tuple(kept.values()))
    return _confirm(port, reason, endpoint, seconds)


def _confirm(port: _Port, reason: str, endpoint: str, seconds: float) -> int:
    """Wait until the worker tells of the lease, or of none."""
    what = f"lease {reason}{f' of {endpoint}' if endpoint else ''}"
    until = time.monotonic() + port.seconds
    while True:
        try:
            left = _left(port.details(), reason, endpoint)
        except ProbeError as error:
            if not port.named:
                print(f"{what}: written to {port.file}; no worker was asked ({error})")
                return DONE
            left, trouble = None, str(error)
        else:
            trouble = "it does not tell of the change"
            if not seconds and left is None:
                print(f"{what}: released on {port.address}")
                return DONE
            if seconds and left is not None and abs(left - seconds) < max(_near(seconds), 1.0):
                print(f"{what}: runs for {left:.0f} s more on {port.address}")
                return DONE
            if seconds and left is not None and left < seconds:
                trouble = f"it grants {left:.0f} s, which is its lease_max"
        if time.monotonic() >= until:
            print(f"{what}: written to {port.file}, but {port.address}: {trouble}")
            return NOT_DONE
        time.sleep(_GLANCE)


def _near(seconds: float) -> float:
    return seconds * 0.01


def _left(details: Mapping[str, Any], reason: str, endpoint: str) -> float | None:
    left = [
        float(one["left_seconds"])
        for one in _leases(details)
        if (one.get("by"), one.get("why"), one.get("endpoint")) == ("file", reason, endpoint)
    ]
    return max(left, default=None)


def _leases(details: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [one for one in details.get("leases") or [] if isinstance(one, dict)]


def _list(port: _Port, *, as_lines: bool) -> int:
    try:
        leases = _leases(port.details())
    except ProbeError as error:
        print(f"unreachable: {port.address}: {error}")
        return UNREACHABLE
    if not as_lines:
        print(json.dumps(list(leases)))
    elif not leases:
        print(f"{port.address}: no lease runs")
    else:
        for one in leases:
            scope = one.get("endpoint") or "everything"
            left = f"{one.get('left_seconds', 0):.0f} s more"
            print(f"{one.get('why')}: {scope}, for {left}, taken by {one.get('by')}")
    return DONE


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Keep others who use this verb from the file meanwhile, by a lock on its folder."""
    descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(file: Path) -> tuple[Announced, ...]:
    try:
        return read_leases(file.read_bytes(), written=file.stat().st_mtime)
    except FileNotFoundError:
        return ()
    except ValueError as error:
        raise SettingsError(f"{file}: {error}; correct it or remove it") from error


def _write(file: Path, leases: Sequence[Announced]) -> None:
    """Replace the file whole, so that nobody reads half of it."""
    told = {
        "leases": [
            {
                "name": one.name,
                "reason": one.reason,
                "until": datetime.fromtimestamp(one.until, UTC).isoformat(timespec="milliseconds"),
                **({"endpoint": one.endpoint} if one.endpoint else {}),
            }
            for one in leases
        ]
    }
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _address(text: str | None, settings: Settings) -> Address:
    if text is not None:
        return Address.parse(text)
    if settings.system_socket is not None:
        return Address(socket_path=settings.system_socket)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.system_host, settings.system_host)
    return Address(host, settings.system_port if settings.system_port > 0 else PORT)


def _read_seconds(text: str, flag: str) -> float:
    try:
        return _SECONDS.read(text.strip())
    except RefusedError:
        shown = excerpt(text, limit=40)
        raise SettingsError(f"{flag}: {shown!r}; accepted: {_SECONDS.accepted}") from None
