"""The file of leases: what may stand in it, and what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.runtime.lease_file import Announced, LeaseFile, read_leases
from tests.runtime.benches import ADDRESS, Bench

NOW = 1_800_000_000.0


class Desk:
    """A file, who follows it, and a wall clock that stands still unless it is moved."""

    def __init__(self, bench: Bench, path: Path) -> None:
        self.path = path
        self.wall = NOW
        self.board = bench.board
        self.file = LeaseFile(path, bench.board.leases, wall=lambda: self.wall)

    def write(self, told: Any, *, at: float | None = None) -> None:
        """Write it as of a moment, and have it looked at: twice, as damage asks for."""
        text = told if isinstance(told, str) else json.dumps(told)
        self.path.write_text(text)
        moment = self.wall if at is None else at
        os.utime(self.path, (moment, moment))
        self.look()

    def look(self) -> None:
        """Look twice."""
        self.file.look()
        self.file.look()

    def running(self) -> list[tuple[str, float, str]]:
        """The leases that run: why, for how long, of which endpoint."""
        now = self.board.clock()
        leases = self.board.report().leases
        assert all(one.by == "file" for one in leases)
        return [(one.why, round(one.until - now, 3), one.endpoint) for one in leases]


def iso(seconds: float) -> str:
    """Return a moment that many seconds from now."""
    return datetime.fromtimestamp(NOW + seconds, UTC).isoformat()


async def test_one_lease_counts_from_its_writing(tmp_path: Path) -> None:
    """What a script can write with `echo`; `touch` renews it, and removing it releases it."""
    async with Bench() as bench:
        desk = Desk(bench, tmp_path / "leases")
        desk.look()
        assert desk.running() == []
        desk.write({"reason": "weight_update", "seconds": 300}, at=NOW - 100)
        assert desk.running() == [("weight_update", 200, "")]
        os.utime(desk.path, (NOW, NOW))
        desk.look()
        assert desk.running() == [("weight_update", 300, "")]
        desk.path.unlink()
        desk.look()
        assert desk.running() == []
        assert bench.board.leases.ran_out == 0


async def test_several_leases_each_have_their_end(tmp_path: Path) -> None:
    """One that is gone from the list is released, one that is over is none."""
    async with Bench() as bench:
        desk = Desk(bench, tmp_path / "leases")
        both = [
            {"reason": "weight_update", "until": iso(60), "endpoint": ADDRESS},
            {"reason": "profile", "until": iso(90)},
            {"reason": "compile", "until": iso(-1)},
        ]
        desk.write({"leases": both})
        assert desk.running() == [("weight_update", 60, ADDRESS), ("profile", 90, "")]
        desk.write({"leases": both[1:]}, at=NOW + 1)
        assert desk.running() == [("profile", 90, "")]
        desk.write([], at=NOW + 2)
        assert desk.running() == []


async def test_a_lease_of_the_file_runs_out_and_stays_out(tmp_path: Path) -> None:
    """The script that wrote it may be dead; the same file is no new lease."""
    async with Bench() as bench:
        desk = Desk(bench, tmp_path / "leases")
        desk.write({"reason": "weight_update", "seconds": 30})
        await asyncio.sleep(30.1)
        desk.wall += 30.1
        desk.look()
        assert desk.running() == []
        assert bench.board.leases.ran_out == 1
        again = Desk(bench, desk.path)  # as after a restart of the worker
        again.wall = desk.wall
        again.look()
        assert again.running() == []


async def test_a_lease_beyond_the_bound_is_cut_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once for each writing; a wall clock that jumps later changes nothing."""
    async with Bench(lease_max=60) as bench:
        desk = Desk(bench, tmp_path / "leases")
        desk.write({"reason": "weight_update", "until": iso(86400)})
        assert desk.running() == [("weight_update", 60, "")]
        desk.wall -= 1e6
        desk.look()
        assert desk.running() == [("weight_update", 60, "")]
        assert sum("lease_max" in one.getMessage() for one in caplog.records) == 1


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("{", "it is not JSON"),
        ("7", "7 is no lease"),
        ({"leases": 7}, "'leases' is no list"),
        ({"reason": "x"}, "either 'seconds' (from its writing) or 'until' (ISO 8601)"),
        ({"reason": "x", "seconds": 5, "until": iso(5)}, "either 'seconds'"),
        ({"seconds": 5}, "a lease without a 'reason'"),
        ({"reason": " ", "seconds": 5}, "a lease without a 'reason'"),
        ({"reason": 7, "seconds": 5}, "reason: 7; accepted: a text"),
        ({"reason": "x" * 201, "seconds": 5}, "accepted: a text of at most 200"),
        ({"reason": "x", "seconds": "5"}, "seconds: 5; accepted: more than 0"),
        ({"reason": "x", "seconds": 0}, "seconds: 0; accepted: more than 0"),
        ({"reason": "x", "seconds": True}, "seconds: True; accepted: more than 0"),
        ('{"reason": "x", "seconds": NaN}', "seconds: nan; accepted: more than 0"),
        ({"reason": "x", "until": "soon"}, "until: soon; accepted: ISO 8601"),
        ({"reason": "x", "until": "2026-11-24T04:05:00"}, "ISO 8601 with its offset"),
        ({"reason": "x", "for": 5}, "unknown key 'for'; accepted: reason, seconds, until"),
        ([{"reason": "x", "seconds": 5}] * 2, "two leases are called 'x'; give them names"),
        ([{"reason": f"{n}", "seconds": 5} for n in range(65)], "65 leases; accepted: at most 64"),
        (" " * 70_000, "more than 65536 bytes"),
    ],
)
async def test_what_cannot_be_understood_is_no_lease_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, told: Any, why: str
) -> None:
    """The leases that it had are released: a pause that nobody can read is not announced."""
    async with Bench() as bench:
        desk = Desk(bench, tmp_path / "leases")
        desk.write({"reason": "profile", "seconds": 300}, at=NOW - 1)
        desk.write(told)
        desk.look()
        assert desk.running() == []
        [warning] = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
        assert warning.startswith(f"{desk.path}: no lease is taken: ")
        assert why in warning


async def test_half_a_file_is_looked_at_again(tmp_path: Path) -> None:
    """A shell empties the file before it writes: the lease that runs is not let go in between."""
    async with Bench() as bench:
        desk = Desk(bench, tmp_path / "leases")
        desk.write({"reason": "weight_update", "seconds": 300})
        desk.path.write_text('{"reason": "wei')
        desk.file.look()
        assert len(desk.running()) == 1
        desk.path.write_text('{"reason": "weight_update", "seconds": 600}')
        os.utime(desk.path, (NOW + 1, NOW + 1))
        desk.file.look()
        assert desk.running() == [("weight_update", 600, "")]


async def test_what_is_no_file_is_no_lease(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And is not waited for: a pipe would never end."""
    async with Bench() as bench:
        folder, pipe = tmp_path / "folder", tmp_path / "pipe"
        folder.mkdir()
        os.mkfifo(pipe)
        for path in (folder, pipe):
            desk = Desk(bench, path)
            desk.look()
            assert desk.running() == []
        assert sum("it is no regular file" in one.getMessage() for one in caplog.records) == 2


async def test_a_lease_that_means_something_else_is_another_one(tmp_path: Path) -> None:
    """Its name is kept, its endpoint is not."""
    async with Bench() as bench:
        desk = Desk(bench, tmp_path / "leases")
        desk.write({"name": "a", "reason": "compile", "seconds": 30})
        desk.write({"name": "a", "reason": "compile", "seconds": 30, "endpoint": ADDRESS}, at=NOW)
        assert desk.running() == [("compile", 30, ADDRESS)]


def test_names_tell_leases_apart() -> None:
    """Of one reason there may be one for each endpoint."""
    told = [
        {"reason": "x", "seconds": 1},
        {"reason": "x", "seconds": 2, "endpoint": ADDRESS},
        {"reason": "x", "seconds": 3, "name": "mine"},
    ]
    assert read_leases(json.dumps({"leases": told}).encode(), written=NOW) == (
        Announced("x", "x", NOW + 1),
        Announced(f"x {ADDRESS}", "x", NOW + 2, ADDRESS),
        Announced("mine", "x", NOW + 3),
    )


@given(st.binary(max_size=200))
def test_any_bytes_are_leases_or_a_reason_why_not(content: bytes) -> None:
    """Nothing but ValueError comes out."""
    with contextlib.suppress(ValueError):
        assert isinstance(read_leases(content, written=NOW), tuple)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["reason", "seconds", "until", "leases", "x"]), inner)
        ),
        max_leaves=8,
    )
)
def test_any_json_is_leases_or_a_reason_why_not(told: Any) -> None:
    """Likewise."""
    with contextlib.suppress(ValueError):
        assert isinstance(read_leases(json.dumps(told).encode(), written=NOW), tuple)
