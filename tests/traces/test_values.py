"""Every kind of evidence can be carried, those included that nobody has thought of yet."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest

from serinus.core.evidence import CanaryFailed, CanaryFault, Lease, Load
from serinus.core.rules import Rules
from serinus.traces.values import Kind, fields_of, is_time, shifted
from tests.traces.kinds import KINDS

AMOUNTS = {"first_item", "total"}
"""Fields of evidence that are floats and no times; name a time so that `is_time` knows it."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_float_of_evidence_is_known_as_a_time_or_an_amount(kind: Any) -> None:
    """A time under a name that `is_time` does not know would not be shifted with the others."""
    floats = {
        name
        for name, hint in get_type_hints(kind).items()
        if hint is float or float in get_args(hint)
    }
    strange = {name for name in floats if not is_time(name)} - AMOUNTS
    assert not strange


@pytest.mark.parametrize("kind", [*KINDS, Rules], ids=lambda kind: kind.__name__)
def test_every_kind_can_be_read(kind: Any) -> None:
    """Its fields are of types that a trace has a place for."""
    assert len(Kind.of(kind, list(kind._fields)).places) == len(kind._fields)


def test_defaults_at_the_end_are_left_out() -> None:
    """What is said most often is short."""
    failed = CanaryFailed(12.5, 10.0, CanaryFault.TIMEOUT)
    assert fields_of(failed, start=10.0) == [2.5, 0.0, "timeout"]


def test_only_times_are_shifted() -> None:
    """And those that are not known stay so."""
    assert shifted(Load(10.0, 3, None), 5.0) == Load(15.0, 3, None)
    assert shifted(Lease(10.0, float("inf"), "x"), 5.0) == Lease(15.0, float("inf"), "x")
