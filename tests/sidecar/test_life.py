"""Loading, serving, dead, and what the judge hears of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from serinus.core.evidence import EngineDied, Evidence, Loading, Phase, Registered
from serinus.core.rules import Rules
from serinus.core.status import Reason
from serinus.core.verdict import Standing
from serinus.sidecar.life import Life, Stage, Turn

NOTICE = 90.0


@pytest.fixture
def newborn() -> Life:
    """An engine that nobody has looked at."""
    return Life(NOTICE, 0.0)


@pytest.fixture
def serving(newborn: Life) -> Life:
    """An engine that brought a token at 10 s."""
    return newborn.answered(5.0, model=True)[0].proven(10.0)


@pytest.fixture
def dead(serving: Life) -> Life:
    """An engine whose port was found closed at 100 s."""
    return serving.closed_twice(100.0, "refused")[0]


@pytest.mark.parametrize(
    ("look", "phase"),
    [
        (lambda life: life.unreachable(1.0), Phase.PORT_CLOSED),
        (lambda life: life.closed_twice(1.0, ""), Phase.PORT_CLOSED),
        (lambda life: life.answered(1.0, model=False), Phase.NO_MODEL),
        (lambda life: life.answered(1.0, model=True), Phase.FIRST_TOKEN),
    ],
)
def test_a_loading_engine_is_in_the_phase_that_was_seen(
    newborn: Life, look: Callable[[Life], Turn], phase: Phase
) -> None:
    """Not ready, live, and told how far it is."""
    life, evidence = look(newborn)
    assert evidence == (Loading(1.0, phase),)
    assert life.stage is Stage.LOADING
    assert look(life)[1] == (), "a phase is told once"


def test_canaries_are_for_engines_that_would_hear_them(newborn: Life, serving: Life) -> None:
    """A closed port and an empty list are looked at; only a listed model is asked."""
    assert not newborn.askable
    assert not newborn.unreachable(1.0)[0].askable
    assert not newborn.answered(1.0, model=False)[0].askable
    assert newborn.answered(1.0, model=True)[0].askable
    assert serving.askable


def test_an_engine_that_never_served_does_not_die(newborn: Life) -> None:
    """Its port can close while it loads; it is loading still."""
    life, evidence = newborn.answered(1.0, model=True)[0].closed_twice(2.0, "")
    assert life.stage is Stage.LOADING
    assert evidence == (Loading(2.0, Phase.PORT_CLOSED),)
    assert newborn.said_dead(3.0, "EngineDeadError") == (newborn, ())


def test_a_closed_port_is_the_death_of_an_engine_that_served(serving: Life) -> None:
    """Seen twice by whoever calls this."""
    life, evidence = serving.closed_twice(100.0, "refused")
    assert evidence == (EngineDied(100.0, "refused"),)
    assert (life.stage, life.since) == (Stage.DEAD, 100.0)


@pytest.mark.parametrize(
    "look",
    [
        lambda life: life.unreachable(100.0),
        lambda life: life.answered(100.0, model=False),
        lambda life: life.answered(100.0, model=True),
    ],
)
def test_nothing_else_ends_a_life(serving: Life, look: Callable[[Life], Turn]) -> None:
    """A lost network or an empty list of models is for the canaries to judge."""
    assert look(serving) == (serving, ())


def test_death_is_announced_until_the_notice_is_over(dead: Life) -> None:
    """Then a new life is awaited, so that a slow start is not restarted for ever."""
    life, evidence = dead.closed_twice(100.0 + NOTICE - 0.1, "")
    assert (life.stage, evidence) == (Stage.DEAD, ())
    life, evidence = life.closed_twice(100.0 + NOTICE, "")
    at = 100.0 + NOTICE
    assert evidence == (Registered(at, canary=True), Loading(at, Phase.PORT_CLOSED))
    assert life.stage is Stage.LOADING


def test_a_port_that_answers_again_is_a_new_life(dead: Life) -> None:
    """Somebody has started another engine there."""
    life, evidence = dead.answered(110.0, model=False)
    assert evidence == (Registered(110.0, canary=True), Loading(110.0, Phase.NO_MODEL))
    assert (life.stage, life.phase, life.since) == (Stage.LOADING, Phase.NO_MODEL, 110.0)


def test_a_dying_engine_that_still_answers_is_not_born_again(serving: Life) -> None:
    """The server of vLLM lists its models for a second after its core has died."""
    life, evidence = serving.said_dead(100.0, "EngineDeadError")
    assert evidence == (EngineDied(100.0, "EngineDeadError"),)
    life, evidence = life.answered(100.5, model=True)
    assert (life.stage, evidence) == (Stage.DEAD, ())
    life, evidence = life.closed_twice(101.0, "")
    assert (life.stage, life.since, evidence) == (Stage.DEAD, 100.0, ())
    life, evidence = life.answered(130.0, model=True)
    assert evidence == (Registered(130.0, canary=True), Loading(130.0, Phase.FIRST_TOKEN))


def test_a_server_that_lingers_after_its_word_of_death_ends_the_notice_too(serving: Life) -> None:
    """The notice is bounded, however the engine behaves."""
    life, _ = serving.said_dead(100.0, "EngineDeadError")
    life, evidence = life.answered(100.0 + NOTICE, model=True)
    assert evidence[-1] == Loading(100.0 + NOTICE, Phase.FIRST_TOKEN)


def test_a_token_is_life(dead: Life) -> None:
    """Whatever was thought of it, an engine that brings a token serves."""
    life = dead.proven(120.0)
    assert (life.stage, life.since, life.phase) == (Stage.SERVING, 120.0, None)
    assert life.proven(130.0) is life


def test_without_canaries_a_new_life_has_none_either(dead: Life) -> None:
    """Whether canaries are sent is the settings' business, not the engine's."""
    mute = Life(NOTICE, 0.0, Stage.DEAD, closed=True, canary=False)
    assert mute.answered(1.0, model=True)[1][0] == Registered(1.0, canary=False)


def told(standing: Standing, *evidence: Evidence) -> Standing:
    """The judge, having heard it all."""
    for one in evidence:
        standing = standing.after(one, Rules())
    return standing


def test_the_judge_hears_a_whole_life(newborn: Life) -> None:
    """Phases are reasons; death is not ready and not live; the next life is live."""
    standing = Standing.of(Registered(0.0, canary=True))
    life, evidence = newborn.unreachable(1.0)
    standing = told(standing, *evidence)
    assert standing.verdict.reason is Reason.PORT_CLOSED
    life, evidence = life.answered(50.0, model=True)
    standing = told(standing, *evidence)
    assert standing.verdict.reason is Reason.FIRST_TOKEN
    life, evidence = life.proven(60.0).closed_twice(100.0, "refused")
    standing = told(standing, *evidence)
    assert standing.verdict.reason is Reason.ENGINE_DIED
    life, evidence = life.closed_twice(100.0 + NOTICE, "")
    standing = told(standing, *evidence)
    assert (standing.verdict.reason, standing.died) == (Reason.PORT_CLOSED, None)
