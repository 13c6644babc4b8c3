"""`serinus replay` and `serinus tune`: what they print, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serinus.cli import main
from serinus.cli.replay import read_probes
from serinus.replay.kubelet import Probe, Probes
from serinus.replay.shipped import shipped, shipped_file
from serinus.traces import Mark, Ruled, Seen, read
from serinus.traces.head import Head
from serinus.traces.lines import as_line
from serinus.traces.script import Script
from tests.replay.stories import RULES, Engine, around, made
from tests.traces.kinds import Target


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A trace with a hang, in a file."""
    script, target = Script(start=0.0), Target(rules=RULES)
    trace = made(Engine(hangs=[(53.0, 100.0)]), marks=around(53, 100), until=150)
    text = Head("s", 0, 1_000_000.0, {}).line()
    for entry in trace.entries:
        if isinstance(entry, Seen):
            text += script.seen(target, RULES, entry.evidence)
        elif isinstance(entry, Mark):
            text += script.mark(entry.at, entry.text)
        else:
            assert isinstance(entry, Ruled)
    path = tmp_path / "hang.trace"
    path.write_bytes(text + as_line(["e", 150.0]))
    return str(path)


def cells(text: str) -> dict[str, list[str]]:
    """The rows of a table, by their first cell."""
    rows = [line.split("  ") for line in text.splitlines() if "  " in line.strip()]
    return {row[0]: [cell.strip() for cell in row[1:] if cell.strip()] for row in rows}


def test_settings_stand_beside_each_other(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What was seen then, the same settings in the model, and the others."""
    words = [
        "--set",
        "wait=1,deadline=1",
        "--set",
        "DYN_CANARY_WAIT_TIME=60",
        "--probe",
        "period=5",
    ]
    assert main(["replay", file, *words]) == 0
    told = capsys.readouterr().out
    assert told.startswith("1 trace(s), 0.04 h, 1 fault(s): 1 by marks\n")
    table = cells(told)
    assert [len(table[row]) for row in ("faults seen", "false alarms", "canaries")] == [4, 4, 4]
    assert table["faults seen"][:3] == ["1 of 1"] * 3
    delays = [float(cell.split()[0]) for cell in table["detection, worst"][:3]]
    assert delays[2] < 3.5 < delays[0]
    assert table["detection, worst"][3] == "never"
    assert "hang.trace" in told
    assert "restarts by Kubernetes" in told


def test_a_replay_is_told_to_programs(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, with everything that is in the table."""
    assert main(["replay", file, "--json", "--set", "wait=1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [judge["name"] for judge in told["judges"]] == ["recorded", "replayed", "wait=1"]
    assert told["traces"][0]["faults"] == [
        {"fault": "hang", "begin": 53.0, "end": 100.0, "source": "marks"}
    ]
    assert told["judges"][2]["detection_worst_seconds"] < told["judges"][1]["canaries"]


def test_a_damaged_trace_is_replayed_up_to_the_damage(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the exit code says that it is."""
    path = Path(file)
    path.write_bytes(path.read_bytes()[:-5])
    assert main(["replay", file]) == 1
    told = capsys.readouterr()
    assert "the line is cut short" in told.err
    assert "faults seen" in told.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "no trace is named; accepted: the path of a recording, or --shipped"),
        ("/no/such", "/no/such: there is no such trace"),
        ("x --set speed=1", "--set 'speed=1': accepted: RULE=VALUE"),
        ("x --probe period", "--probe 'period': period: accepted: seconds from 0.001"),
        ("x --probe liveness:spirit=1", "accepted: KEY=NUMBER,... with the keys period, timeout"),
        ("x --probe soul:period=1", "after 'liveness:', 'readiness:' or 'startup:' if one is"),
    ],
)
def test_what_is_wrong_with_a_replay_is_said(
    capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    """Exit code 2 and one message."""
    assert main(["replay", *words.split()]) == 2
    assert message in capsys.readouterr().err


def test_probes_are_kubernetes_own_unless_they_are_set() -> None:
    """Each by itself, or liveness and readiness together."""
    assert read_probes([]) == Probes()
    assert read_probes(["period=5,failures=2", "liveness:timeout=3", "startup:failures=30"]) == (
        Probes(
            Probe(5.0, 3.0, 2),
            Probe(5.0, 1.0, 2),
            Probe(failures=30),
        )
    )


def test_tune_prints_variables_the_trade_off_and_a_picture(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ready to be pasted."""
    picture = tmp_path / "a.svg"
    words = [
        "--objective",
        "detect<=8s, false_alarms=0",
        "--tries",
        "20",
        "--picture",
        str(picture),
    ]
    assert main(["tune", file, *words]) == 0
    told = capsys.readouterr().out
    assert (
        "these meet the objective (longest detection at most 8 s, false alarms at most 0)" in told
    )
    assert "\n  DYN_CANARY_WAIT_TIME=" in told
    assert "\n  SERINUS_FAILURE_THRESHOLD=" in told
    assert "the trade-off, without false alarms" in told
    assert picture.read_text().startswith("<svg ")


def test_tune_says_what_is_closest_to_the_impossible(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an exit code of its own."""
    words = ["--objective", "detect<=10ms", "--tries", "10", "--picture", ""]
    assert main(["tune", file, *words]) == 1
    told = capsys.readouterr().out
    assert "10 settings tried; none meets the objective" in told
    assert "The closest misses it by\n  longest detection" in told
    assert main(["tune", file, *words, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["met"]
    assert found["missed"][0].endswith("wanted at most 0.01 s")
    assert len(found["trials"]) == 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("x --objective faster", "--objective 'faster': accepted: MEASURE<=LIMIT"),
        ("x --tries many", "--tries 'many': accepted: a whole number from 1 to 100000"),
        ("x --seconds 0", "--seconds '0': accepted: seconds from 0.001"),
        ("x --picture a.png", "--picture 'a.png': accepted: a name that ends in .svg"),
        ("", "no trace is named"),
    ],
)
def test_what_is_wrong_with_a_search_is_said(
    capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    """Exit code 2 and one message."""
    assert main(["tune", *words.split()]) == 2
    assert message in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_said(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason."""
    assert main(["tune", file, "--tries", "1", "--picture", "/no/such/a.svg"]) == 2
    assert "--picture '/no/such/a.svg': cannot be written: No such file" in capsys.readouterr().err


def test_traces_that_come_with_serinus_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    """And each of them is whole, has its fault marked, and is small."""
    assert main(["replay", "--list"]) == 0
    assert capsys.readouterr().out.split() == list(shipped())
    for name in shipped():
        path = shipped_file(name)
        assert path is not None
        assert path.stat().st_size < 100_000
        trace = read(path)
        assert not trace.damages
        assert trace.marks
