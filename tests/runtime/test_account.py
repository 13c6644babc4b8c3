"""The account of an answer that somebody else passes on."""

from __future__ import annotations

import pytest

from serinus.runtime.account import Account
from serinus.runtime.traffic import Traffic


class Gauge:
    """Keeps what it is told of requests."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float | None]] = []

    def request(self, first: float, gap: float | None, _in_flight: int, /) -> None:
        """Take in one."""
        self.told.append((first, gap))


class Answer:
    """One answer, at times that are said."""

    def __init__(self) -> None:
        self.now = 0.0
        self.gauge = Gauge()
        self.traffic = Traffic(lambda: self.now, lambda _: None)
        self.traffic.measured = self.gauge
        self.account = Account(self.traffic)

    def brings(self, at: float) -> None:
        """Bring an item."""
        self.now = at
        self.account.brought()

    def owes(self, at: float) -> None:
        """Owe the next."""
        self.now = at
        self.account.owes()

    def ends(self, at: float) -> tuple[float, float | None]:
        """End well; return what is told of it."""
        self.now = at
        self.account.finished()
        (told,) = self.gauge.told
        return told


def test_what_the_consumer_rests_is_left_out_of_the_gap() -> None:
    """Two seconds of the engine between two items, and three of the consumer."""
    answer = Answer()
    answer.brings(at=1)
    answer.owes(at=4)
    answer.brings(at=6)
    answer.owes(at=9)
    assert answer.ends(at=10) == pytest.approx((1, 2))


def test_an_item_that_overtakes_the_one_before_took_the_engine_no_time() -> None:
    """The consumer had the first until the second came, and nothing was owed."""
    answer = Answer()
    answer.brings(at=1)
    answer.brings(at=3)
    answer.owes(at=4)
    assert answer.ends(at=5) == pytest.approx((1, 0))


def test_a_rest_may_have_begun_before_it_is_noted() -> None:
    """It is no silence from its beginning on."""
    answer = Answer()
    answer.brings(at=1)
    answer.owes(at=1)
    answer.now = 4
    assert answer.traffic.silence(4) == pytest.approx(4)
    answer.account.rests(since=2)
    assert answer.traffic.silence(4) == pytest.approx(2)
    answer.owes(at=6)
    assert answer.traffic.silence(7) == pytest.approx(3)
