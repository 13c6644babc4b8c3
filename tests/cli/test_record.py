"""`serinus record`: record, mark and show; and the recording of a sidecar, whatever befalls it."""

from __future__ import annotations

import json
import resource
import signal
import sys
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from serinus.cli import main
from serinus.core.evidence import CanaryFailed, CanaryPassed, Registered
from serinus.traces import Seen, Trace, read
from tests.cli.programs import program, until
from tests.traces.files import at, head, lines, written
from tests.traces.kinds import Target

QUICK = ("--canary-wait-time=0.3", "--health-check-request-timeout=0.5", "--scrape-interval=0.2")
SIM = (sys.executable, "-m", "serinus", "sim", "--port", "{port}")


def kinds_in(trace: Trace) -> set[type]:
    """The kinds of evidence in a trace."""
    return {type(one.evidence) for one in trace.entries if isinstance(one, Seen)}


def _is_larger(file: Path, size: int) -> bool:
    return file.stat().st_size > size


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "record : accepted: -o FILE and what to watch, 'mark FILE TEXT' or 'show FILE'"),
        ("mark a", "record mark a: accepted: -o FILE and what to watch"),
        ("show /no/such/trace", "/no/such/trace: there is no such trace"),
        ("mark /no/such/trace x", "/no/such/trace: cannot be marked: No such file or directory"),
        ("-o a --for soon --url http://a:1", "--for 'soon': accepted: seconds from 0.001 to"),
        ("-o a", "no engine to watch; accepted: --url"),
    ],
)
def test_what_is_wrong_is_said(
    capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    """Exit code 2 and one message."""
    assert main(["record", *words.split()]) == 2
    assert message in capsys.readouterr().err


def test_a_trace_is_shown_for_people_and_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line an entry."""
    told = written(
        (Target(), Registered(0.0, canary=True)), (Target(), CanaryPassed(1.5, 0.1, 0.2))
    )
    file = str(at(tmp_path, told + lines(["m", 2.0, "fault: x begins"], ["e", 3.0])))
    assert main(["record", "show", file]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith("-- recording began at 1970-01-12T13:46:40Z")
    assert shown[-2].endswith("1.500  n.c.e  canary: first item after 0.100 s, done after 0.200 s")
    assert shown[-1].split() == ["2.000", "==", "fault:", "x", "begins"]

    for words in (["--json", file], [file, "--json"]):
        assert main(["record", "show", *words]) == 0
        entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert entries[-1] == {"entry": "mark", "at": 2.0, "text": "fault: x begins"}
        assert entries[-2] == {
            "entry": "seen",
            "at": 1.5,
            "target": "n.c.e",
            "kind": "CanaryPassed",
            "first_item": 0.1,
            "total": 0.2,
            "tokens": 1,
            "flow": True,
        }


def test_a_damaged_trace_is_shown_up_to_the_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its place, and an exit code of its own."""
    whole = written((Target(), Registered(0.0, canary=True)))
    file = at(tmp_path, whole + b"0123")
    assert main(["record", "show", str(file)]) == 1
    told = capsys.readouterr()
    assert "registered" in told.out
    place = f"{file}: byte {len(whole)}: the line is cut short; 4 byte(s) are not read"
    assert f"serinus: warning: {place}" in told.err
    assert "the recording has no end" in told.out


def test_a_newer_trace_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what would read it."""
    file = at(tmp_path, head().replace(b"[1,0]", b"[7,0]"))
    assert main(["record", "show", str(file)]) == 2
    assert "is no trace" in capsys.readouterr().err  # its checksum does not fit
    file = at(tmp_path, lines(["serinus trace", [7, 0], {}]))
    assert main(["record", "show", str(file)]) == 2
    assert "accepted: a Serinus that writes version 7" in capsys.readouterr().err


@pytest.mark.end_to_end
def test_an_engine_is_started_recorded_and_marked(tmp_path: Path) -> None:
    """Its canaries are in the trace, and what was marked from outside; the time ends it."""
    file = str(tmp_path / "a.trace")
    words = ("record", "-o", file, "--for", "3600", *QUICK)
    with program(*words, "--", *SIM, "--fault", "hang@8s+4s") as recording:
        recording.says("-> ready")
        assert main(["record", "mark", file, "fault:", "hang", "begins"]) == 0
        recording.says("canary_timeout", seconds=60)
        recording.says(r"canary_timeout\) -> ready", seconds=60)
        assert recording.end() == 0
    trace = read(Path(file))
    assert trace.finished
    assert not trace.damages
    assert {CanaryPassed, CanaryFailed} <= kinds_in(trace)
    assert trace.marks[0].text == "fault: hang begins"


@pytest.mark.end_to_end
def test_the_time_ends_a_recording(tmp_path: Path) -> None:
    """And the engine that it started; its end is marked if it comes before."""
    file = str(tmp_path / "a.trace")
    words = ("record", "-o", file, "--for", "8", *QUICK)
    with program(*words, "--", *SIM, "--fault", "crash@500ms") as recording:
        until(lambda: recording.process.poll() is not None, seconds=60)
        assert recording.process.returncode == 0
    trace = read(Path(file))
    assert trace.finished
    assert any(mark.text.startswith("the engine's process ended") for mark in trace.marks)


@pytest.mark.end_to_end
def test_what_was_seen_before_a_kill_is_read_and_the_next_life_goes_on(tmp_path: Path) -> None:
    """`kill -9` costs the last moments and no more; the file is used again."""
    file = tmp_path / "a.trace"
    with program("sim", "--port", "0") as engine:
        url = engine.says(r"http://[^\s']+")
        words = ("sidecar", "--url", url, "--port=0", "--record", str(file), *QUICK)
        for _ in range(2):
            with program(*words) as sidecar:
                sidecar.says("-> ready")
                enough = file.stat().st_size + 300
                until(partial(_is_larger, file, enough))
                sidecar.end(signal.SIGKILL)
    trace = read(file)
    assert not trace.finished
    lives = [one.at for one in trace.entries if type(one).__name__ == "Session"]
    assert len(lives) == 2
    for begin, end in zip(lives, [lives[1], float("inf")], strict=True):
        seen = [one for one in trace.entries if isinstance(one, Seen) and begin <= one.at <= end]
        assert any(isinstance(one.evidence, CanaryPassed) for one in seen)


@pytest.mark.end_to_end
def test_a_full_disk_ends_the_recording_and_not_the_sidecar(tmp_path: Path) -> None:
    """It says so once, counts what is missing, and what was written stays whole."""
    file = tmp_path / "a.trace"
    with program("sim", "--port", "0") as engine:
        url = engine.says(r"http://[^\s']+")
        words = ("sidecar", "--url", url, "--port=0", "--record", str(file), *QUICK)
        with program(*words) as sidecar:
            status = f"http://127.0.0.1:{sidecar.says(r'/metrics on http://[^ ]*:([0-9]+)')}"
            sidecar.says("-> ready")
            until(lambda: bool(kinds_in(read(file))))
            limit = file.stat().st_size + 200
            resource.prlimit(sidecar.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
            sidecar.says(r"has stopped: File too large; health checking goes on")

            def unrecorded() -> float:
                page = urllib.request.urlopen(f"{status}/metrics", timeout=20).read().decode()
                [line] = [line for line in page.splitlines() if line.startswith("serinus_unrec")]
                return float(line.split()[1])

            before = unrecorded()
            until(lambda: unrecorded() > before)
            with urllib.request.urlopen(f"{status}/health", timeout=20) as answer:
                assert answer.status == 200
            assert sidecar.end() == 0
            assert (sidecar.out + sidecar.err).count("has stopped") == 1
    trace = read(file)
    assert not trace.damages
    assert kinds_in(trace)
