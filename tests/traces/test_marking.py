"""Marks from outside, into a file that is being written."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.core.evidence import Progress
from serinus.errors import TraceError
from serinus.traces import Recorder, append_mark, read
from tests.cli.programs import until
from tests.traces.files import at, head, seen_in
from tests.traces.kinds import Target


def test_a_mark_stands_between_what_was_seen_before_and_after(tmp_path: Path) -> None:
    """Its time is the wall's, brought to the recorder's."""
    recorder, target = Recorder(tmp_path / "a", clock=lambda: 50.0, wall=lambda: 1000.0), Target()
    recorder.start()
    recorder.observe(target, Progress(51.0))
    until(lambda: recorder.recorded == 1)
    append_mark(tmp_path / "a", "fault: x\nbegins", wall=lambda: 1002.5)
    recorder.observe(target, Progress(53.0))
    recorder.close()
    trace = read(tmp_path / "a")
    assert not trace.damages
    assert [(one.at, type(one).__name__) for one in trace.entries[-3:]] == [
        (1.0, "Seen"),
        (2.5, "Mark"),
        (3.0, "Seen"),
    ]
    assert trace.marks[0].text == "fault: x begins"


def test_a_torn_line_does_not_take_the_mark_with_it(tmp_path: Path) -> None:
    """The mark gets a line of its own, though the damage hides it from readers of that session."""
    file = at(tmp_path, head() + b"01234567 torn")
    append_mark(file, "x", wall=lambda: 1000.0)
    assert file.read_bytes().count(b"\n") == 3


def test_what_is_no_trace_is_not_marked(tmp_path: Path) -> None:
    """Nor one that is not there."""
    with pytest.raises(TraceError, match="is no trace"):
        append_mark(at(tmp_path, b"Dear Sir,\n"), "x")
    with pytest.raises(TraceError, match="cannot be marked: No such file"):
        append_mark(tmp_path / "none", "x")


def test_marks_and_evidence_survive_files_that_are_put_away(tmp_path: Path) -> None:
    """A mark is never written into a file that has gone."""
    recorder, target = Recorder(tmp_path / "a", most_bytes=5_000, keep=50), Target()
    recorder.start()
    for number in range(40):
        for _ in range(60):
            recorder.observe(target, Progress(float(number)))
        append_mark(tmp_path / "a", f"mark {number}")
    recorder.close()
    trace = read(tmp_path / "a")
    assert not trace.damages
    assert [mark.text for mark in trace.marks] == [f"mark {number}" for number in range(40)]
    assert len([1 for _, one in seen_in(trace) if isinstance(one, Progress)]) == 2400
