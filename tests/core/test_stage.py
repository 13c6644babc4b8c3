"""Whether a frontend itself is ready."""

from __future__ import annotations

import pytest

from serinus.core.fleet import Fleet
from serinus.core.stage import Knowledge, Stage, frontend_health, missing_of
from tests.core.fleets import NOTREADY, instance, put

FINE = Knowledge(reached=True, complete=True, age=None)


@pytest.mark.parametrize(
    ("known", "missing", "stage", "ready"),
    [
        (FINE, (), Stage.READY, True),
        (FINE, ("m",), Stage.READY, False),
        (FINE._replace(age=2.9), (), Stage.READY, True),
        (FINE._replace(age=3.0), (), Stage.STALE, True),
        (FINE._replace(age=3.0), ("m",), Stage.STALE, False),
        (FINE._replace(complete=False, age=9.0), (), Stage.DISCOVERING, False),
        (Knowledge(reached=False, complete=False, age=9.0), (), Stage.STARTING, False),
        (FINE._replace(draining=True), (), Stage.DRAINING, False),
        (FINE._replace(draining=True, age=9.0), ("m",), Stage.DRAINING, False),
    ],
)
def test_the_first_line_that_applies_decides(
    known: Knowledge, missing: tuple[str, ...], stage: Stage, ready: bool
) -> None:
    """The table of stages."""
    found = frontend_health(known, missing, stale_after=3.0, stale_is_ready=True)
    assert (found.stage, found.ready) == (stage, ready)


def test_by_policy_stale_is_not_ready() -> None:
    """And the stage is the same."""
    known = FINE._replace(age=5.0)
    found = frontend_health(known, (), stale_after=3.0, stale_is_ready=False)
    assert (found.stage, found.ready) == (Stage.STALE, False)


def test_anything_is_an_instance_that_may_serve() -> None:
    """One that is not ready is none."""
    fleet = Fleet()
    assert missing_of(("*",), fleet) == ("*",)
    put(fleet, instance(1, NOTREADY, reason="stalled"))
    assert missing_of(("*",), fleet) == ("*",)
    put(fleet, instance(2))
    assert missing_of(("*",), fleet) == ()


def test_models_are_required_by_name() -> None:
    """What is missing is named in the order of what is required."""
    fleet = Fleet()
    put(fleet, instance(1, model="b", worker_type="aggregated"))
    assert missing_of(("c", "b", "a"), fleet) == ("c", "a")
