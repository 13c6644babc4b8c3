"""How faults are written, and when they are on."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.errors import SettingsError
from serinus.sim.faults import MOST_WINDOWS, Board, Fault, Plan, Window, parse_plan

ACCEPTED = ", ".join(Fault)
SHAPE = (
    "NAME[:rank=N][=VALUE][@START][+DURATION], as in 'hang@30s+20s', 'slow=10@1m' or"
    " 'hang:rank=2@30s'"
)
NO_DURATION = "is not a duration; accepted: 500ms, 20, 20s, 2m, 1h"


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("hang", Plan(Fault.HANG)),
        ("hang@30s+20s", Plan(Fault.HANG, after=30, seconds=20)),
        ("hang+500ms", Plan(Fault.HANG, seconds=0.5)),
        ("stall@2m", Plan(Fault.STALL, after=120)),
        ("crash@1h", Plan(Fault.CRASH, after=3600)),
        ("frozen-metrics@1.5+2", Plan(Fault.FROZEN_METRICS, after=1.5, seconds=2)),
        (" slow=2.5@1s+1s ", Plan(Fault.SLOW, after=1, seconds=1, value=2.5)),
        ("saturate=4", Plan(Fault.SATURATE, value=4)),
    ],
)
def test_a_fault_is_written_as_name_value_start_and_duration(text: str, plan: Plan) -> None:
    """All parts but the name may be left out."""
    assert parse_plan(text) == plan


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hnag@3", f"unknown fault 'hnag'; accepted: {ACCEPTED}"),
        ("HANG", f"unknown fault 'HANG'; accepted: {ACCEPTED}"),
        ("", f"a fault is written {SHAPE}"),
        ("@3", f"a fault is written {SHAPE}"),
        ("hang@", f"'' {NO_DURATION}"),
        ("hang@3s+", f"'' {NO_DURATION}"),
        ("hang@soon", f"'soon' {NO_DURATION}"),
        ("hang@-1", f"'-1' {NO_DURATION}"),
        ("hang@1+2+3", f"'2+3' {NO_DURATION}"),
        ("hang@1d", f"'1d' {NO_DURATION}"),
        ("hang+0s", "fault 'hang': a duration above 0 s is accepted, not 0"),
        ("slow=@1", f"'' is not a number; a fault is written {SHAPE}"),
        ("slow=fast", f"'fast' is not a number; a fault is written {SHAPE}"),
        ("slow=nan", f"'nan' is not a number; a fault is written {SHAPE}"),
        ("slow=0", "fault 'slow': a value above 0 is accepted, not 0"),
        ("saturate=1.5", "fault 'saturate': the depth of the queue is a whole number, not 1.5"),
        (
            "hang=3",
            (
                "fault 'hang' takes no value, and was given 3;"
                " those that take one: slow, saturate, drift, noise"
            ),
        ),
    ],
)
def test_a_fault_written_wrong_says_what_is_accepted(text: str, message: str) -> None:
    """The message names the part that was not understood."""
    with pytest.raises(SettingsError) as caught:
        parse_plan(text)
    assert str(caught.value) == message


@given(st.text(max_size=30))
def test_any_text_is_a_plan_or_a_settings_error(text: str) -> None:
    """No other exception comes out of bad input."""
    try:
        plan = parse_plan(text)
    except SettingsError:
        return
    assert plan.after >= 0


def test_a_window_is_on_from_its_start_until_before_its_end() -> None:
    """A fault of 20 s after 30 s is on in [30, 50)."""
    clock = Clock()
    board = Board([parse_plan("hang@30s+20s").window(clock.now)], clock=clock)
    seen = []
    for clock.now in (129.9, 130.0, 149.9, 150.0):
        seen.append(board.on(Fault.HANG))
    assert seen == [False, True, True, False]


def test_the_next_change_is_the_nearest_edge() -> None:
    """Who waits for a change knows for how long at most."""
    clock = Clock()
    board = Board(clock=clock)
    assert board.next_change() == math.inf
    board.add(Window(Fault.HANG, 110, 120))
    assert board.next_change() == 10
    clock.now = 110
    assert board.next_change() == 10
    clock.now = 120
    assert board.next_change() == math.inf


def test_of_two_windows_of_a_fault_the_later_decides_its_value() -> None:
    """A second `slow` has its own factor, and the first comes back after it."""
    clock = Clock()
    board = Board(clock=clock)
    board.add(Window(Fault.SLOW, 100, value=2.0))
    board.add(Window(Fault.SLOW, 105, 110, value=9.0))
    values = []
    for clock.now in (104, 106, 111):
        window = board.window(Fault.SLOW)
        values.append(None if window is None else window.value)
    assert values == [2.0, 9.0, 2.0]


def test_clearing_forgets_what_is_on_and_what_is_planned() -> None:
    """One fault by name, or all of them; listeners hear of both."""
    clock = Clock()
    board = Board(clock=clock)
    heard: list[int] = []
    board.listen(lambda: heard.append(1))
    for fault, start in ((Fault.HANG, 100), (Fault.HANG, 200), (Fault.SLOW, 100)):
        board.add(Window(fault, start))
    board.clear(Fault.HANG)
    assert ([w.fault for w in board.active()], board.planned()) == ([Fault.SLOW], ())
    board.clear()
    assert board.active() == ()
    assert len(heard) == 5


def test_a_board_is_bounded_and_forgets_what_is_over() -> None:
    """Windows that are over make place for new ones; a full board says so."""
    clock = Clock()
    board = Board(clock=clock)
    for _ in range(MOST_WINDOWS):
        board.add(Window(Fault.HANG, 100, 101))
    with pytest.raises(SettingsError, match=r"at most 256 faults can be on or planned at a time"):
        board.add(Window(Fault.HANG, 100, 101))
    clock.now = 102
    board.add(Window(Fault.HANG, 100, 103))
    assert len(board.active()) == 1
