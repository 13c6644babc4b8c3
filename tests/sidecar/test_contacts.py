"""Is it our network? What is heard of all engines together."""

from __future__ import annotations

import pytest

from serinus.core.evidence import CanaryFailed, CanaryFault
from serinus.core.own_state import Outage
from serinus.sidecar.contact import Trouble
from serinus.sidecar.contacts import Contacts, Line
from serinus.sidecar.place import Place

AWAY, ALSO_AWAY = Place.parse("http://10.0.0.7:8000"), Place.parse("http://engine.example:8000")
HERE, ALSO_HERE = Place.parse("http://127.0.0.1:8000"), Place.parse("http://localhost:8001")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Scene:
    """Engines, and what is heard of them: spans of 3 s, a pace of 1 s, a budget of 30 s."""

    def __init__(self, *places: Place) -> None:
        self.clock = Clock()
        self.contacts = Contacts(excuse=30.0, span=3.0, pace=1.0, clock=self.clock)
        self.lines = [self.contacts.line(place) for place in places]
        for line in self.lines:
            line.trying()
            line.answered()

    def falls_silent(self, *numbers: int) -> None:
        """Begin attempts to which nothing comes."""
        for number in numbers:
            self.lines[number].trying()

    def after(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds


def excused(line: Line, clock: Clock, fault: CanaryFault = CanaryFault.TIMEOUT) -> str:
    """What a canary of 3 s that failed now is excused by."""
    return line.excuse(CanaryFailed(clock.now, clock.now - 3.0, fault))


def test_engines_that_fall_silent_at_once_are_excused(caplog: pytest.LogCaptureFixture) -> None:
    """Our own network is the likelier cause. It is said once."""
    scene = Scene(AWAY, ALSO_AWAY)
    scene.falls_silent(0)
    scene.after(1.5)
    scene.falls_silent(1)
    scene.after(1.5)
    for line in scene.lines:
        assert excused(line, scene.clock) == "all 2 engines were lost at once"
    assert scene.contacts.outage() == Outage(101.5, 2)
    assert caplog.messages == [
        "all 2 engines were lost at once: it may be our own network, and nobody is accused for 30 s"
    ]


@pytest.mark.parametrize(
    "fault", [one for one in CanaryFault if one not in {"timeout", "connection dropped"}]
)
def test_only_what_a_network_can_do_is_excused(fault: CanaryFault) -> None:
    """An error was answered, and a stuck handler is ours to end."""
    scene = Scene(AWAY, ALSO_AWAY)
    scene.falls_silent(0, 1)
    scene.after(3)
    expected = fault is CanaryFault.REFUSED  # also said of what cannot be reached at all
    assert bool(excused(scene.lines[0], scene.clock, fault)) is expected


def test_one_that_is_heard_is_a_witness_against_the_silent_one() -> None:
    """The network works."""
    scene = Scene(AWAY, ALSO_AWAY)
    scene.falls_silent(0, 1)
    scene.after(2.9)
    scene.lines[1].answered()
    scene.after(0.1)
    assert excused(scene.lines[0], scene.clock) == ""


def test_an_engine_alone_is_never_excused() -> None:
    """Nobody can say whether it is the network."""
    scene = Scene(AWAY)
    scene.falls_silent(0)
    scene.after(3)
    assert excused(scene.lines[0], scene.clock) == ""


def test_two_that_died_at_different_times_are_two_deaths() -> None:
    """A silence that lasts from yesterday excuses nobody today."""
    scene = Scene(AWAY, ALSO_AWAY)
    scene.falls_silent(0)
    scene.after(600)
    scene.falls_silent(1)
    scene.after(3)
    assert excused(scene.lines[1], scene.clock) == ""


@pytest.mark.parametrize(
    ("trouble", "local", "heard"),
    [
        (Trouble.REFUSED, False, True),
        (Trouble.REFUSED, True, True),
        (Trouble.NO_HTTP, False, True),
        (Trouble.UNTRUSTED, False, True),
        (Trouble.TOO_LARGE, False, True),
        (Trouble.DROPPED, True, True),
        (Trouble.DROPPED, False, False),
        (Trouble.SILENT, True, False),
        (Trouble.UNREACHABLE, False, False),
        (Trouble.UNRESOLVED, False, False),
        (Trouble.OURS, False, False),
    ],
)
def test_what_counts_as_hearing_of_an_engine(trouble: Trouble, local: bool, heard: bool) -> None:
    """A closed port was said by somebody: replicas that really died are not excused."""
    scene = Scene(HERE if local else AWAY)
    line = scene.lines[0]
    assert line.local is local
    line.trying()
    line.failed(trouble)
    assert (line.contact.unheard_since is None) is heard


def test_engines_on_this_machine_are_excused_for_the_budget_and_then_it_is_a_common_death() -> None:
    """Loopback does not break."""
    scene = Scene(HERE, ALSO_HERE)
    scene.falls_silent(0, 1)
    scene.after(29.9)
    assert excused(scene.lines[0], scene.clock)
    scene.after(0.1)
    assert excused(scene.lines[0], scene.clock) == ""
    assert scene.contacts.outage() is None


def test_engines_elsewhere_are_not_accused_while_none_of_them_is_heard() -> None:
    """The judge bounds it: after the budget nobody can say that they serve."""
    scene = Scene(AWAY, ALSO_AWAY)
    scene.falls_silent(0, 1)
    scene.after(3600)
    assert excused(scene.lines[0], scene.clock)


def test_when_one_keeps_silent_the_others_are_spoken_to() -> None:
    """Unless they are already."""
    scene = Scene(AWAY, ALSO_AWAY, HERE)
    asked: list[int] = []
    for number, line in enumerate(scene.lines):
        line.wanted = lambda number=number: asked.append(number)  # type: ignore[misc]
    scene.falls_silent(0, 2)
    scene.lines[0].ask_others()
    assert asked == [1]
