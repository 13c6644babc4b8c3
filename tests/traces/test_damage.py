"""Damage costs what is damaged, and never what stands before it."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.evidence import CanaryPassed, Evidence, Progress, Registered
from serinus.errors import TraceError
from serinus.traces import Trace, read
from tests.traces.files import at, flat, head, lines, seen_in, written
from tests.traces.kinds import Target

ONE = Target()
TOLD: list[tuple[Target, Evidence]] = [
    (ONE, Registered(0.0, canary=True)),
    *((ONE, Progress(float(n))) for n in range(1, 40)),
]
WHOLE = written(*TOLD)
FIRST_LINE = WHOLE.index(b"\n") + 1


def read_bytes(data: bytes, name: str = "a.trace") -> Trace:
    """Read a file with this in it."""
    with tempfile.TemporaryDirectory() as folder:
        return read(at(Path(folder), data, name))


@given(st.integers(FIRST_LINE, len(WHOLE) - 1))
@settings(deadline=None)
def test_whatever_is_cut_off_all_before_it_is_read(cut: int) -> None:
    """At any byte: only the line that was cut is lost."""
    trace = read_bytes(WHOLE[:cut])
    complete = WHOLE[:cut].count(b"\n") - WHOLE[: WHOLE.index(b"[0,0")].count(b"\n")
    assert seen_in(trace)[: max(complete - 1, 0)] == flat(TOLD)[: max(complete - 1, 0)]
    whole = WHOLE[:cut].endswith(b"\n")
    assert bool(trace.damages) is not whole
    for damage in trace.damages:
        assert damage.position == WHOLE[:cut].rindex(b"\n") + 1
        assert damage.lost == cut - damage.position
        assert "cut short" in str(damage)


@given(st.integers(FIRST_LINE, len(WHOLE) - 1), st.integers(1, 255))
@settings(deadline=None)
def test_a_changed_byte_is_noticed_and_all_before_it_is_read(place: int, by: int) -> None:
    """No evidence is believed whose checksum does not fit."""
    data = bytearray(WHOLE)
    data[place] = (data[place] + by) % 256
    trace = read_bytes(bytes(data))
    assert trace.damages
    assert trace.damages[0].position <= place
    seen = seen_in(trace)
    assert seen == flat(TOLD)[: len(seen)]


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_bytes_that_are_no_trace_are_refused_or_told_as_damage(data: bytes) -> None:
    """Alone, and behind a beginning."""
    with pytest.raises(TraceError, match="is no trace"):
        read_bytes(data)
    trace = read_bytes(WHOLE + data)
    assert seen_in(trace) == flat(TOLD)
    assert bool(trace.damages) is bool(data)


def test_a_session_after_the_damage_is_read(tmp_path: Path) -> None:
    """A recorder that was started again goes on in the same file."""
    torn = WHOLE[:-5] + b"\n"
    after = written((ONE, Progress(1.0)), session="later", wall=1_000_100.0)
    trace = read(at(tmp_path, torn + after))
    [damage] = trace.damages
    assert "checksum" in damage.why
    assert damage.lost == len(torn) - damage.position
    assert seen_in(trace) == [*flat(TOLD[:-1]), ("n.c.e", Progress(101.0))]


def test_what_refers_to_nothing_is_damage(tmp_path: Path) -> None:
    """A whole line, and no sense in it."""
    trace = read(at(tmp_path, head() + lines([7, 0, 1.0])))
    assert "makes no sense" in trace.damages[0].why


def test_a_newer_major_version_is_refused(tmp_path: Path) -> None:
    """It would be misunderstood."""
    newer = lines(["serinus trace", [2, 0], {"session": "s", "wall": 1.0}])
    with pytest.raises(TraceError, match=r"is of version 2 of the format.*reads version 1"):
        read(at(tmp_path, newer))


def test_a_newer_session_ends_the_reading_of_the_file(tmp_path: Path) -> None:
    """What an older Serinus wrote before it is read."""
    newer = lines(["serinus trace", [2, 0], {"session": "n", "wall": 1.0}], ["x"])
    trace = read(at(tmp_path, WHOLE + newer))
    assert seen_in(trace) == flat(TOLD)
    [damage] = trace.damages
    assert "version 2" in damage.why
    assert (damage.position, damage.lost) == (len(WHOLE), len(newer))


def test_what_a_newer_minor_version_adds_is_skipped_counted_and_named(tmp_path: Path) -> None:
    """Kinds, fields, words and lines that are not known here."""
    newer = lines(
        ["serinus trace", [1, 9], {"session": "s", "wall": 1.0, "segment": 0, "mood": "good"}],
        ["t", 0, "n.c.e", True],
        ["k", 0, "Registered", ["at", "canary"]],
        ["k", 1, "Dreamt", ["at"]],
        ["k", 2, "CanaryPassed", ["at", "colour", "first_item", "total"]],
        ["k", 3, "CanaryFailed", ["at", "sent", "fault"]],
        [0, 0, 0.0, True],
        [1, 0, 1.0],
        [1, 0, 2.0],
        [2, 0, 3.0, "blue", 0.1, 0.2],
        [3, 0, 4.0, 3.0, "bored"],
        ["z", "something else"],
        [0, 0, 5.0, True],
    )
    trace = read(at(tmp_path, newer))
    assert not trace.damages
    assert [evidence for _, evidence in seen_in(trace)] == [
        Registered(0.0, canary=True),
        CanaryPassed(3.0, 0.1, 0.2),
        Registered(5.0, canary=True),
    ]
    assert trace.skipped == {
        "Dreamt": 2,
        "CanaryPassed.colour": 1,
        "CanaryFailed with CanaryFault 'bored'": 1,
        "line z": 1,
    }


@pytest.mark.parametrize("cut", [30, 60, 90])
def test_a_compressed_file_is_read_up_to_the_damage(cut: int) -> None:
    """Cut short, or changed."""
    told: list[tuple[Target, Evidence]] = [(ONE, Registered(0.0, canary=True))]
    told += [(ONE, CanaryPassed(n * 1.37, n / 7919, n / 7907)) for n in range(1, 3000)]
    packed = gzip.compress(written(*told))
    trace = read_bytes(packed[: len(packed) * cut // 100], "a.trace.gz")
    seen = seen_in(trace)
    assert seen
    assert len(seen) < len(told)
    assert [one.at for _, one in seen] == [round(one.at, 6) for _, one in told[: len(seen)]]
    assert trace.damages

    changed = bytearray(packed)
    changed[len(packed) * cut // 100] ^= 0xFF
    assert read_bytes(bytes(changed), "a.trace.gz").damages


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """And no stack is shown."""
    with pytest.raises(TraceError, match="there is no such trace"):
        read(tmp_path / "none")


def test_an_endless_line_is_damage_and_not_memory(tmp_path: Path) -> None:
    """Of a file that was never meant to be one."""
    trace = read(at(tmp_path, WHOLE + b"x" * 3_000_000))
    assert trace.damages[0].lost == 3_000_000
    assert seen_in(trace) == flat(TOLD)
