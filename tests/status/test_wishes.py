"""Asking for fresher documents: together, seldom, and not in vain."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from serinus.status.process import layout
from serinus.status.process.board import Board
from serinus.status.process.telemetry import Telemetry
from serinus.status.process.wishes import Wishes

MS = 1_000_000


class Bench:
    """A board and a bell, and a worker whose loop beats."""

    def __init__(self, bell: int) -> None:
        self.words = memoryview(bytearray(layout.PAGE_BYTES)).cast("Q")
        self.board = Board(
            self.words,
            worker=1,
            loop_stall=5.0,
            loop_budget=60.0,
            live_follows_ready=False,
            telemetry=Telemetry(),
        )
        self.bell = bell
        self.wishes = Wishes(self.words, bell, self.board)
        self.now = 1000_000 * MS
        self.turn(0)

    def turn(self, after_ms: int) -> None:
        """Go on to the next turn; the worker is well."""
        self.now += after_ms * MS
        self.words[layout.LOOP_BEAT] = self.words[layout.THREAD_BEAT] = self.now
        self.board.turn(self.now)

    def waits(self, kind: int = layout.METRICS) -> bool:
        """Whether an answer would wait."""
        return self.wishes.worth_waiting(kind, self.now)

    def rings(self) -> int:
        """How often the bell has rung since."""
        try:
            return os.eventfd_read(self.bell)
        except BlockingIOError:
            return 0


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A bench with a real bell."""
    bell = os.eventfd(0, os.EFD_NONBLOCK)
    yield Bench(bell)
    os.close(bell)


def test_the_first_wish_rings(bench: Bench) -> None:
    """The bell rings once, and the page says what is wanted."""
    assert bench.waits()
    assert bench.rings() == 1
    assert bench.words[layout.WANT_METRICS] == bench.now
    assert bench.words[layout.WANT_DETAILS] == 0


def test_wishes_at_the_same_time_are_one(bench: Bench) -> None:
    """Whoever comes while a document is on its way waits for that one."""
    assert bench.waits()
    bench.turn(50)
    assert bench.waits()
    assert bench.rings() == 1


def test_what_has_just_come_is_fresh_enough(bench: Bench) -> None:
    """Within a fifth of a second nothing is asked for twice."""
    assert bench.waits()
    bench.turn(1)
    bench.board.take(layout.METRICS, None, b"")
    assert not bench.waits()
    bench.turn(198)
    assert not bench.waits()
    bench.turn(1)
    assert bench.waits()
    assert bench.rings() == 2


def test_a_worker_that_did_not_answer_is_not_waited_for_again_at_once(bench: Bench) -> None:
    """After the patience is over, answers come without waiting until the next asking."""
    assert bench.waits()
    bench.turn(100)
    assert not bench.waits()
    bench.turn(100)
    assert bench.waits()


def test_kinds_are_asked_for_apart(bench: Bench) -> None:
    """Metrics on their way are no reason to be without details."""
    assert bench.waits(layout.METRICS)
    assert bench.waits(layout.DETAILS)
    assert bench.rings() == 2


def test_nobody_is_asked_in_vain(bench: Bench) -> None:
    """A dead, silent or unattached worker is not waited for."""
    bench.words[layout.LOOP_BEAT] = 0
    bench.board.turn(bench.now + 1)
    assert not bench.waits()
    bench.words[layout.LOOP_BEAT] = bench.now - 2000 * MS
    bench.board.turn(bench.now + 2)
    assert not bench.waits()
    bench.turn(1)
    bench.board.worker_died()
    assert not bench.waits()
    assert bench.rings() == 0
