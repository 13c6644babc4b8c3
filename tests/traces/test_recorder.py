"""The recorder writes what it is told, bounded in everything, and harms nobody."""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from serinus.core.evidence import CanaryPassed, Evidence, Progress, Registered
from serinus.core.rules import Rules
from serinus.errors import TraceError
from serinus.traces import Lost, Mark, Recorder, Ruled, read
from serinus.traces.recorder import LINGER
from tests.cli.programs import until
from tests.traces.files import at, seen_in
from tests.traces.kinds import Target


@pytest.fixture
def told() -> Iterator[list[Recorder]]:
    """Recorders to be closed at the end."""
    recorders: list[Recorder] = []
    yield recorders
    for recorder in recorders:
        recorder.close()


def recording(file: Path, **how: Any) -> Recorder:
    """Start one whose clock ticks by itself."""
    clock = itertools.count(100)
    recorder = Recorder(file, clock=lambda: float(next(clock)), wall=lambda: 5000.0, **how)
    recorder.start()
    return recorder


def test_what_is_observed_and_marked_is_in_the_file(tmp_path: Path) -> None:
    """In order, relative to the start, with the rules before what they judged and their changes."""
    recorder, target = recording(tmp_path / "a"), Target()
    recorder.observe(target, Registered(100.0, canary=True))
    recorder.mark("fault: x begins")
    target.rules = Rules(wait=3)
    recorder.observe(target, Progress(107.25))
    recorder.close()
    trace = read(tmp_path / "a")
    assert trace.finished
    assert trace.began == 5000.0
    kinds = [type(one).__name__ for one in trace.entries]
    assert kinds == ["Session", "Ruled", "Seen", "Mark", "Ruled", "Seen"]
    assert trace.entries[4] == Ruled(7.25, "n.c.e", Rules(wait=3))
    assert trace.marks == (Mark(1.0, "fault: x begins"),)
    assert recorder.recorded == 3
    assert recorder.lost == 0


def test_it_has_a_thread_with_a_name_that_ends(tmp_path: Path) -> None:
    """Closing twice is closing once; what comes later is not taken."""
    recorder = recording(tmp_path / "a")
    assert "serinus-recorder" in {thread.name for thread in threading.enumerate()}
    recorder.close()
    recorder.close()
    assert "serinus-recorder" not in {thread.name for thread in threading.enumerate()}
    for _ in range(10):
        recorder.observe(Target(), Progress(1.0))
    assert not seen_in(read(tmp_path / "a"))


def test_a_recorder_that_is_started_again_goes_on_in_the_file(tmp_path: Path) -> None:
    """After a torn line too."""
    for _ in range(2):
        recorder = recording(tmp_path / "a")
        recorder.observe(Target(), Progress(101.0))
        recorder.close()
        with (tmp_path / "a").open("ab") as file:
            file.write(b"0123 torn")
    trace = read(tmp_path / "a")
    assert len([one for one in seen_in(trace) if isinstance(one[1], Progress)]) == 2
    assert [damage.lost for damage in trace.damages] == [10, 9]


def test_a_file_that_is_no_trace_is_left_alone(tmp_path: Path) -> None:
    """Nobody wants evidence at the end of a letter."""
    with pytest.raises(TraceError, match="is no trace"):
        recording(at(tmp_path, b"Dear Sir,\n"))
    assert (tmp_path / "a.trace").read_bytes() == b"Dear Sir,\n"


def test_a_place_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    """A recording that was asked for and is not made must not go unnoticed."""
    with pytest.raises(TraceError, match="nothing can be recorded there: No such file"):
        recording(tmp_path / "no" / "where")


def test_two_recorders_do_not_share_a_file(tmp_path: Path) -> None:
    """Their numbers would be mixed up; the first goes on, also when its file was put away."""
    recorder = recording(tmp_path / "a", most_bytes=10_000)
    for _ in range(2):
        with pytest.raises(TraceError, match="another process records to it"):
            recording(tmp_path / "a")
        _fill(recorder, 2)
    recorder.close()
    assert not read(tmp_path / "a").damages
    recording(tmp_path / "a").close()


def test_a_file_that_was_removed_is_begun_anew(tmp_path: Path) -> None:
    """Nobody wants to record into nothing."""
    recorder = recording(tmp_path / "a")
    recorder.observe(Target(), Progress(101.0))
    until(lambda: recorder.recorded == 1)
    (tmp_path / "a").unlink()
    recorder.observe(Target(), Progress(102.0))
    recorder.close()
    assert seen_in(read(tmp_path / "a"))[-1] == ("n.c.e", Progress(2.0))


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """What an engine said can be in it."""
    recorder = recording(tmp_path / "a")
    recorder.close()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


def _has_recorded(recorder: Recorder, so_many: int) -> bool:
    return recorder.recorded == so_many


def _fill(recorder: Recorder, batches: int, each: int = 400) -> list[Evidence]:
    """Tell it more than its file may hold, in batches."""
    target, told = Target(), []
    for batch in range(batches):
        before = recorder.recorded
        for number in range(each):
            evidence = CanaryPassed(100.0 + batch * 1000 + number, 0.125, 0.25)
            recorder.observe(target, evidence)
            told.append(CanaryPassed(evidence.at - 100.0, 0.125, 0.25))
        until(partial(_has_recorded, recorder, before + each))
    return list(told)


def test_a_full_file_is_put_away_compressed_and_all_is_read_as_one(tmp_path: Path) -> None:
    """The names and rules are told again in each file."""
    recorder = recording(tmp_path / "a", most_bytes=20_000, keep=10)
    told = _fill(recorder, 6)
    recorder.close()
    files = sorted(one.name for one in tmp_path.iterdir())
    assert files == ["a", "a.1.gz", "a.2.gz", "a.3.gz"] or files[:3] == ["a", "a.1.gz", "a.2.gz"]
    assert not [name for name in files if name.endswith(".part")]
    trace = read(tmp_path / "a")
    assert not trace.damages
    seen = [evidence for _, evidence in seen_in(trace) if isinstance(evidence, CanaryPassed)]
    assert seen == told
    assert len([one for one in trace.entries if type(one).__name__ == "Session"]) == 1


def test_no_more_than_so_many_files_are_kept(tmp_path: Path) -> None:
    """The oldest is forgotten; what is left can be judged."""
    recorder = recording(tmp_path / "a", most_bytes=10_000, keep=2)
    told = _fill(recorder, 8)
    recorder.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "a.1.gz", "a.2.gz"]
    trace = read(tmp_path / "a")
    seen = [evidence for _, evidence in seen_in(trace) if isinstance(evidence, CanaryPassed)]
    assert seen == told[-len(seen) :]
    assert isinstance(seen_in(trace)[0][1], Registered)


def test_none_are_kept_if_none_are_wanted(tmp_path: Path) -> None:
    """Then one file is the bound."""
    recorder = recording(tmp_path / "a", most_bytes=10_000, keep=0)
    _fill(recorder, 4)
    recorder.close()
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def test_what_comes_faster_than_it_can_be_written_is_counted_and_told(tmp_path: Path) -> None:
    """The judge does not wait, and the trace says that it has a hole."""
    recorder, target = recording(tmp_path / "a", most_waiting=50), Target()
    for number in range(1000):
        recorder.observe(target, Progress(100.0 + number))
    recorder.close()
    trace = read(tmp_path / "a")
    missing = sum(one.entries for one in trace.entries if isinstance(one, Lost))
    seen = [one for _, one in seen_in(trace) if isinstance(one, Progress)]
    assert missing == recorder.lost > 0
    assert len(seen) + missing == 1000


def test_a_mistake_in_one_batch_does_not_end_the_recording(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A kind that has no place in a trace costs itself, and is seen in the log."""
    recorder, target = recording(tmp_path / "a"), Target()
    strange: Any = Progress(cast("float", object()))
    recorder.observe(target, strange)
    recorder.observe(target, Progress(105.0))
    until(lambda: "our mistake" in caplog.text)
    recorder.observe(target, strange)
    recorder.observe(target, Progress(106.0))
    recorder.close()
    trace = read(tmp_path / "a")
    assert [one for _, one in seen_in(trace)][1:] == [Progress(5.0), Progress(6.0)]
    assert recorder.lost == sum(one.entries for one in trace.entries if isinstance(one, Lost)) == 2
    assert caplog.text.count("our mistake") == 1


def test_a_disk_that_takes_no_more_ends_the_recording_once_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the file stays whole; the rest is counted."""
    recorder, target = recording(tmp_path / "a"), Target()
    recorder.observe(target, Progress(101.0))
    until(lambda: recorder.recorded == 1)
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 10:
            raise OSError(28, "No space left on device")
        return write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr("serinus.traces.recorder.os.write", half)
    with caplog.at_level(logging.ERROR):
        for number in range(5):
            recorder.observe(target, Progress(102.0 + number))
            threading.Event().wait(2 * LINGER)
        until(lambda: recorder.lost == 5)
    recorder.close()
    assert caplog.text.count("has stopped: No space left on device") == 1
    trace = read(tmp_path / "a")
    assert not trace.damages
    assert seen_in(trace)[-1] == ("n.c.e", Progress(1.0))
