"""Which ranks stand still while others move, by their counters alone."""

from __future__ import annotations

from serinus.engines import Counters
from serinus.sidecar.stillness import Stillness


def reading(*ranks: tuple[float, float]) -> dict[int, Counters]:
    """Tokens and work in hand of each rank."""
    return {
        rank: Counters(running=running, tokens=tokens)
        for rank, (tokens, running) in enumerate(ranks)
    }


def test_a_rank_with_work_that_others_outrun_stands_still() -> None:
    """After the budget; it moves again when it moves."""
    still = Stillness(10.0)
    for at in range(10):
        told = still.after(reading((at, 1), (5, 2)), at=float(at))
        assert told == {0: None, 1: None}
    assert still.after(reading((11, 1), (5, 2)), at=10.0) == {0: None, 1: 10.0}
    assert still.after(reading((12, 1), (6, 2)), at=11.0) == {0: None, 1: None}


def test_an_idle_rank_says_nothing() -> None:
    """Nobody knows whether it would answer."""
    still = Stillness(10.0)
    still.after(reading((0, 1), (5, 0)), at=0.0)
    assert still.after(reading((9, 1), (5, 0)), at=50.0) == {0: None, 1: None}
    assert still.after(reading((10, 1), (5, 1)), at=59.0) == {0: None, 1: None}
    assert still.after(reading((11, 1), (5, 1)), at=61.0) == {0: None, 1: 11.0}


def test_all_that_stand_still_together_are_no_ranks_fault() -> None:
    """That is the engine's, and is judged as such."""
    still = Stillness(10.0)
    still.after(reading((1, 1), (5, 1)), at=0.0)
    assert still.after(reading((1, 1), (5, 1)), at=60.0) == {0: None, 1: None}
