"""`serinus lease`: a planned pause that is announced from outside, and confirmed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from serinus.cli import main
from tests.cli.programs import Program, program

NOWHERE = "http://127.0.0.1:9"
"""Nobody answers there: the sidecar waits for an engine, which is all that leases need."""
ROOMY = ("--timeout", "30")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of leases, and nothing else of the surroundings."""
    for name in tuple(os.environ):
        if name.startswith(("DYN_", "SERINUS_")):
            monkeypatch.delenv(name)
    return tmp_path / "leases.json"


@pytest.fixture
def sidecar(here: Path) -> Iterator[Program]:
    """A sidecar that follows the file."""
    with program(
        "sidecar", "--engine", "vllm", "--url", NOWHERE, "--port", "0", "--host", "127.0.0.1",
        "--lease-file", str(here), "--lease-max", "600",
    ) as started:  # fmt: skip
        yield started


def lease(*words: str) -> int:
    """Run the verb in this process."""
    return main(["lease", *words])


@pytest.mark.end_to_end
def test_a_lease_is_taken_renewed_listed_and_released(
    sidecar: Program, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the address alone: the worker says which file it follows, and what it has taken in."""
    on = ("--on", sidecar.says(r"/health, /live and /metrics on (http://\S+)\n"), *ROOMY)
    assert lease("list", *on) == 0
    assert "no lease runs" in capsys.readouterr().out
    assert lease("renew", *on, "--for", "5m", "--reason", "weight_update") == 1
    assert "no lease 'weight_update'" in capsys.readouterr().out
    assert lease("take", *on, "--for", "5m", "--reason", "weight_update") == 0
    assert "lease weight_update: runs for" in capsys.readouterr().out
    name = "serinus.vllm.generate"
    assert lease("take", *on, "--for", "90", "--reason", "profile", "--endpoint", name) == 0
    assert f"lease profile of {name}: runs for" in capsys.readouterr().out
    assert lease("renew", *on, "--for", "9m", "--reason", "weight_update") == 0
    capsys.readouterr()
    assert lease("list", *on, "--json") == 0
    told = {one["why"]: one for one in json.loads(capsys.readouterr().out)}
    assert set(told) == {"weight_update", "profile"}
    assert told["weight_update"]["left_seconds"] > 300
    assert told["profile"]["endpoint"] == name
    assert lease("list", *on) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["weight_update", "profile"]
    assert all(line.endswith("taken by file") for line in lines)
    assert main(["check", on[1], "--verbose"]) == 1
    assert "lease weight_update: everything" in capsys.readouterr().out
    assert lease("release", *on, "--reason", "weight_update") == 0
    assert "released on http" in capsys.readouterr().out
    assert [one["reason"] for one in json.loads(here.read_text())["leases"]] == ["profile"]


@pytest.mark.end_to_end
def test_a_lease_that_is_not_granted_whole_is_said(
    sidecar: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bound is the worker's."""
    on = ("--on", sidecar.says(r"/health, /live and /metrics on (http://\S+)\n"), "--timeout", "5")
    assert lease("take", *on, "--for", "1h", "--reason", "weight_update") == 1
    assert "its lease_max" in capsys.readouterr().out


@pytest.mark.end_to_end
def test_a_worker_that_follows_no_file_says_how_it_would(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one that is not there, that it is not."""
    words = ("--engine", "vllm", "--url", NOWHERE, "--port", "0", "--host", "127.0.0.1")
    with program("sidecar", *words) as started:
        on = ("--on", started.says(r"/health, /live and /metrics on (http://\S+)\n"), *ROOMY)
        assert lease("take", *on, "--for", "9", "--reason", "x") == 2
        assert "start it with SERINUS_LEASE_FILE=FILE" in capsys.readouterr().err
    assert lease("list", "--on", on[1]) == 2
    assert "unreachable: " in capsys.readouterr().out
    assert not here.exists()


def test_the_file_alone_is_enough(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For a script that cannot reach the worker; others' leases stay until they are over."""
    others = [
        {"reason": "profile", "until": "2999-01-01T00:00:00+00:00", "endpoint": "a.b.c"},
        {"reason": "old", "until": "1999-01-01T00:00:00+00:00"},
    ]
    here.write_text(json.dumps({"leases": others}))
    assert lease("take", "--file", str(here), "--for", "90s", "--reason", "compile") == 0
    assert "no worker was asked" in capsys.readouterr().out
    told = json.loads(here.read_text())["leases"]
    assert [(one["reason"], one.get("endpoint")) for one in told] == [
        ("profile", "a.b.c"),
        ("compile", None),
    ]
    assert lease("release", "--file", str(here), "--reason", "compile") == 0
    assert len(json.loads(here.read_text())["leases"]) == 1
    assert [*here.parent.iterdir()] == [here]


def test_who_write_at_once_lose_nothing(here: Path) -> None:
    """Each takes the leases of the others over."""
    words = ("take", "--file", str(here), "--for", "90")
    threads = [
        threading.Thread(target=lease, args=(*words, "--reason", f"r{number}"))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(json.loads(here.read_text())["leases"]) == 8


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["borrow"], "lease 'borrow': accepted: take, renew, release or list"),
        (["take", "--for", "5m"], "--reason is missing"),
        (["take", "--reason", "x"], "--for is missing"),
        (["take", "--reason", "x", "--for", "soon"], "--for: 'soon'; accepted: seconds"),
        (["take", "--reason", "x", "--for", "0"], "--for: '0'; accepted: seconds"),
        (["take", "--reason", "x", "--for", "9", "--timeout", "x"], "--timeout: 'x'; accepted"),
        (
            ["take", "--reason", "x", "--for", "9", "--on", "10.9.8.7:9090"],
            "is on another machine: take the lease there, or name the file",
        ),
        (["take", "--reason", "x", "--for", "9", "--file", "/nowhere/x"], "No such file"),
    ],
)
def test_a_bad_command_line_is_explained(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    """With what would be accepted; nothing is written."""
    assert lease(*words) == 2
    assert why in capsys.readouterr().err
    assert not here.exists()


def test_a_damaged_file_is_not_written_over(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may hold somebody's lease."""
    here.write_text("{")
    assert lease("take", "--file", str(here), "--for", "9", "--reason", "x") == 2
    assert "it is not JSON" in capsys.readouterr().err
    assert here.read_text() == "{"
