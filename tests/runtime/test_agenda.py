"""The agenda: one heap and one timer, and nothing of it grows without bound."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from serinus.runtime.agenda import Agenda
from serinus.runtime.target import HealthCheckTarget
from tests.runtime.targets import Question, target


class Diary:
    """An agenda and what it called, in order."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.lost = 0.0
        self.began = self.loop.time()
        self.calls: list[tuple[float, str]] = []
        self.agenda = Agenda(self._attend, clock=self.loop.time, lost=lambda: self.lost)

    def _attend(self, one: HealthCheckTarget) -> None:
        self.calls.append((round(self.loop.time() - self.began, 3), one.name))

    def plan(self, one: HealthCheckTarget, seconds: float) -> None:
        """Plan from the beginning on."""
        self.agenda.plan(one, self.began + seconds)


def named(name: str) -> HealthCheckTarget:
    """Make a target that is only a name."""
    return target(Question(), name=name)


async def test_targets_are_attended_to_in_the_order_of_their_times() -> None:
    """Whatever the order of planning."""
    diary = Diary()
    diary.agenda.open()
    for name, at in (("c", 3), ("a", 1), ("b", 2)):
        diary.plan(named(name), at)
    await asyncio.sleep(10)
    assert diary.calls == [(1, "a"), (2, "b"), (3, "c")]
    diary.agenda.close()


async def test_an_earlier_plan_overtakes_a_later_one() -> None:
    """And not the other way round; each is attended to once."""
    diary, one = Diary(), named("a")
    diary.agenda.open()
    diary.plan(one, 5)
    diary.plan(one, 2)
    diary.plan(one, 4)
    await asyncio.sleep(10)
    assert diary.calls == [(2, "a")]
    assert one.due_at is None
    diary.agenda.close()


async def test_a_plan_that_is_dropped_is_not_kept() -> None:
    """The target may be planned anew."""
    diary, one = Diary(), named("a")
    diary.agenda.open()
    diary.plan(one, 5)
    diary.agenda.drop(one)
    diary.plan(one, 7)
    await asyncio.sleep(10)
    assert diary.calls == [(7, "a")]
    diary.agenda.close()


async def test_never_is_not_planned() -> None:
    """Infinity means that nothing is due."""
    diary, one = Diary(), named("a")
    diary.agenda.open()
    diary.plan(one, float("inf"))
    assert len(diary.agenda) == 0
    assert one.due_at is None
    diary.agenda.close()


async def test_a_closed_agenda_keeps_its_plans_and_calls_nobody() -> None:
    """Opened again, it goes on."""
    diary = Diary()
    diary.plan(named("early"), 1)
    await asyncio.sleep(2)
    assert diary.calls == []
    diary.agenda.open()
    diary.plan(named("late"), 5)
    await asyncio.sleep(1)
    diary.agenda.close()
    await asyncio.sleep(10)
    assert diary.calls == [(2, "early")]
    diary.agenda.open()
    await asyncio.sleep(1)
    assert diary.calls[1:] == [(13, "late")]
    diary.agenda.close()


async def test_what_is_planned_while_attending_waits_for_its_turn() -> None:
    """A plan for a moment just ahead does not spin, and does not starve the others."""
    diary = Diary()
    again, other = named("again"), named("other")
    attend = diary.agenda._attend

    def replan(one: HealthCheckTarget) -> None:
        attend(one)
        if one is again and len(diary.calls) < 10:
            diary.agenda.plan(one, diary.loop.time() + 0.001)

    diary.agenda._attend = replan
    diary.agenda.open()
    diary.plan(again, 1)
    diary.plan(other, 1)
    await asyncio.sleep(2)
    assert diary.calls[:2] == [(1, "again"), (1, "other")]
    assert len(diary.calls) == 10
    diary.agenda.close()


async def test_overtaken_plans_are_tidied_away() -> None:
    """However often a target is planned anew, and forgotten targets too."""
    diary = Diary()
    targets = [named(str(nth)) for nth in range(20)]
    dice = Random(1)
    for _ in range(20_000):
        one = dice.choice(targets)
        diary.agenda.drop(one)
        diary.agenda.plan(one, dice.uniform(0, 1e6))
        assert len(diary.agenda) <= 2 * len(targets) + 64
    for one in targets:
        diary.agenda.drop(one)
    diary.agenda.open()
    await asyncio.sleep(2e6)
    assert diary.calls == []
    assert len(diary.agenda) == 0
    diary.agenda.close()


async def test_after_a_late_loop_the_work_is_put_off_once() -> None:
    """What came in meanwhile is handled first; a loop that is always late still works."""
    diary = Diary()
    diary.agenda.open()
    for nth in range(3):
        diary.plan(named(str(nth)), nth + 1)
    diary.lost = 2.0
    await asyncio.sleep(1.5)
    diary.lost = 3.0
    await asyncio.sleep(10)
    assert diary.calls == [(1.1, "0"), (2.1, "1"), (3, "2")]
    diary.agenda.close()


@pytest.mark.parametrize("count", [1, 1000])
async def test_one_timer_serves_all(count: int) -> None:
    """The loop knows of one, whatever the number of targets."""
    diary = Diary()
    for nth in range(count):
        diary.plan(named(str(nth)), 1 + nth / count)
    diary.agenda.open()
    timers = [t for t in getattr(diary.loop, "_scheduled") if not t.cancelled()]  # noqa: B009
    assert len(timers) == 1
    await asyncio.sleep(3)
    assert len(diary.calls) == count
    diary.agenda.close()
