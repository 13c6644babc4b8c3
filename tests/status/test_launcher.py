"""What is handed to the status process, and how it is started."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serinus.errors import LifecycleError, StatusError
from serinus.status import StatusConfig, SystemStatusServer, launcher, process

SOURCES = {path.stem: path for path in Path(process.__path__[0]).glob("*.py")}


def imports(path: Path) -> set[str]:
    """The modules that a module imports when it runs."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == launcher.PACKAGE:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def test_every_module_is_handed_over_after_those_it_imports() -> None:
    """The order is one in which they can run, and none is missing."""
    assert set(launcher.MODULES) == set(SOURCES) - {"__init__"}
    ran: set[str] = set()
    for name in launcher.MODULES:
        own = {found for found in imports(SOURCES[name]) if found.startswith("serinus")}
        assert own <= ran, name
        ran.add(f"{launcher.PACKAGE}.{name}")


def test_only_built_in_modules_are_imported() -> None:
    """Each module beyond these would cost the status process memory and time."""
    found = set().union(*(imports(path) for path in SOURCES.values()))
    allowed = {
        "__future__",
        "_operator",
        "_signal",
        "_socket",
        "errno",
        "marshal",
        "mmap",
        "posix",
        "select",
        "sys",
        "time",
    }
    assert {name for name in found if not name.startswith(launcher.PACKAGE)} == allowed


@pytest.mark.end_to_end
def test_a_status_process_that_cannot_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that fails at once is an error at start, within a moment."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    status = SystemStatusServer(StatusConfig(host="127.0.0.1"))
    with pytest.raises(StatusError, match="ended with status 1; its own message is on stderr"):
        status.start()


def test_a_missing_interpreter_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not there is named."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    status = SystemStatusServer(StatusConfig(host="127.0.0.1"))
    with pytest.raises(StatusError, match=r"could not be started with '/nowhere/python'"):
        status.start()


def test_an_embedded_python_without_an_executable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an interpreter to run there is no status process."""
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(StatusError, match=r"sys\.executable"):
        SystemStatusServer(StatusConfig(host="127.0.0.1")).start()


def test_elsewhere_than_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the system and what it lacks."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(StatusError) as caught:
        SystemStatusServer(StatusConfig(host="127.0.0.1")).start()
    assert str(caught.value) == (
        "the status port needs Linux 5.3 or newer and its memfd, pidfd and eventfd; this is "
        "darwin without memfd_create"
    )


def test_import_works_where_the_status_port_does_not() -> None:
    """Other parts of the library must be usable there."""
    code = (
        "import os, select, socket, signal\n"
        "for where, names in ((os, ['memfd_create', 'pidfd_open', 'eventfd', 'register_at_fork']),"
        " (select, ['epoll']), (signal, ['pidfd_send_signal']),"
        " (socket, ['AF_UNIX', 'SOCK_SEQPACKET', 'SCM_RIGHTS'])):\n"
        "    for name in names:\n"
        "        delattr(where, name)\n"
        "import serinus.status\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_a_life_is_lived_once() -> None:
    """Before the start there is no address; after the end there is no start."""
    status = SystemStatusServer(StatusConfig(host="127.0.0.1"))
    with pytest.raises(LifecycleError, match="not started"):
        _ = status.address
    status.close()
    status.close()
    with pytest.raises(LifecycleError, match="make another"):
        status.start()
