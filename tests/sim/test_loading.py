"""What is seen of an engine that loads."""

from __future__ import annotations

import math

import pytest

from serinus.sim.loading import LoadShape, Phase, phase_at


@pytest.mark.parametrize(
    ("shape", "phases"),
    [
        (LoadShape.CLOSED, ["closed", "closed", "closed", "ready"]),
        (LoadShape.EMPTY, ["empty", "empty", "empty", "ready"]),
        (LoadShape.STAGED, ["closed", "closed", "empty", "ready"]),
    ],
)
def test_each_shape_has_its_phases(shape: LoadShape, phases: list[str]) -> None:
    """At 0, 4.9, 5 and 10 seconds of a load of 10."""
    seen = [phase_at(shape, seconds=10, elapsed=elapsed)[0] for elapsed in (0, 4.9, 5, 10)]
    assert seen == phases


@pytest.mark.parametrize("shape", list(LoadShape))
def test_an_engine_without_a_load_is_ready_for_good(shape: LoadShape) -> None:
    """Nought seconds is ready at once."""
    assert phase_at(shape, seconds=0, elapsed=0) == (Phase.READY, math.inf)


@pytest.mark.parametrize("shape", list(LoadShape))
def test_a_phase_lasts_until_the_next_begins(shape: LoadShape) -> None:
    """Waiting as long as was said leads out of the phase, every time."""
    elapsed, seen = 0.0, []
    while math.isfinite(elapsed):
        phase, left = phase_at(shape, seconds=10, elapsed=elapsed)
        seen.append(phase)
        elapsed += left
    assert seen[-1] is Phase.READY
    assert len(seen) == len(set(seen))
