"""What a kubelet does: by its documented rules, over answers that are made up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from serinus.replay.kubelet import Answers, Kubernetes, Probe, Probes, kubelet

Spans = list[tuple[float, float]]


def unless(spans: Spans) -> Callable[[float], bool]:
    """Good, except within spans of seconds."""
    return lambda at: not any(begin <= at < end for begin, end in spans)


def run(
    *,
    sick: Spans | None = None,
    dead: Spans | None = None,
    probes: Probes | None = None,
    until: float = 200.0,
    seconds: float = 0.0,
) -> Kubernetes:
    """Probe a container that is not ready, and not live, in spans of seconds."""
    answers = Answers(unless(sick or []), unless(dead or []), lambda _at: seconds)
    return kubelet(answers, probes if probes is not None else Probes(), until=until)


def test_three_failures_in_a_row_restart_a_container() -> None:
    """The third after 20 s more; a single one, or two, do nothing."""
    assert run(dead=[(45, 75)]).restarts == (70,)
    assert run(dead=[(45, 65)]).restarts == ()
    assert run(dead=[(45, 55), (65, 75), (85, 95)]).restarts == ()


def test_a_restart_waits_longer_each_time() -> None:
    """10 s, 20 s, …: the crash loop of a container that cannot be helped."""
    assert run(dead=[(0, 1e9)], until=400).restarts == (20, 40, 70, 110, 170, 270)


def test_a_container_that_ran_for_long_is_restarted_at_once() -> None:
    """The back-off is forgotten after ten minutes."""
    restarts = run(dead=[(45, 75), (1000, 1030)], until=1100).restarts
    assert restarts == (70, 1020)


def test_readiness_follows_its_own_probe() -> None:
    """And a restart takes it away."""
    assert run(sick=[(45, 75)]).turns == ((0, True), (70, False), (80, True))
    assert run(dead=[(45, 75)]).turns == ((0, True), (70, False), (70, True))


def test_no_other_probe_runs_before_the_startup_probe_has_passed() -> None:
    """A model that loads for a minute is left alone; one that takes too long is restarted."""
    startup = Probe(period=10, failures=10)
    loading = run(sick=[(0, 60)], dead=[(0, 60)], probes=Probes(startup=startup))
    assert loading == Kubernetes((), ((60, True),))
    slow = run(sick=[(0, 150)], probes=Probes(startup=startup))
    assert list(slow.restarts) == [90]
    assert slow.turns == ((150, True),)


def test_an_answer_that_takes_longer_than_the_timeout_is_a_failure() -> None:
    """A handler of 1.0 s under Kubernetes' default is killed."""
    assert run(seconds=1.01, until=25).restarts == (20,)
    assert run(seconds=0.99).restarts == ()


def test_delays_periods_and_successes_count() -> None:
    """As they are set."""
    liveness = Probe(period=1, failures=2, delay=30)
    assert run(dead=[(0, 31), (50, 1e9)], probes=Probes(liveness)).restarts[0] == 51
    readiness = Probe(period=5, successes=3)
    assert run(probes=Probes(None, readiness)).turns == ((10, True),)


@pytest.mark.parametrize(
    "probes", [Probes(None, None), Probes(liveness=None), Probes(readiness=None)]
)
def test_probes_may_be_missing(probes: Probes) -> None:
    """Without a liveness probe nothing is restarted; without a readiness probe it is ready."""
    told = run(sick=[(0, 1e9)], dead=[(0, 1e9)], probes=probes, until=50)
    assert bool(told.restarts) is (probes.liveness is not None)
    assert bool(told.turns) is (probes.readiness is None)
