"""Every kind of evidence can be carried, those included that nobody has thought of yet."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, get_args, get_type_hints

import pytest

from serinus.core.evidence import CanaryFailed, CanaryFault, Lease, Load
from serinus.core.rules import Rules
from serinus.errors import TraceError
from serinus.traces.lines import Item, as_line, payload_of
from serinus.traces.values import Kind, fields_of, is_time, shifted
from tests.traces.kinds import KINDS

AMOUNTS = {"gap", "first_item", "total"}
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


class Mood(StrEnum):
    """A vocabulary that evidence might have."""

    GOOD = "good"


class Part(NamedTuple):
    """A value within a value."""

    name: str
    share: float = 0.5


class Odd(NamedTuple):
    """All that a kind of evidence might hold one day."""

    at: float
    flags: tuple[bool, ...]
    pair: tuple[int, str]
    part: Part
    parts: tuple[Part, ...]
    mood: Mood | None
    words: Mapping[str, int]
    until: float | None = None


ODD = Odd(1.5, (True, False), (7, "x"), Part("a"), (Part("b", 0.1), Part("c")), None, {"n": 3})


def read_back(value: Any, made: Any = Odd) -> Any:
    """Write a value and read it."""
    line = as_line(["x", *fields_of(value, start=0.0)])
    return Kind.of(made, list(type(value)._fields)).read(payload_of(line)[1:])


def test_rows_records_and_mappings_are_carried_too() -> None:
    """Kinds that others add need no change here."""
    assert read_back(ODD) == ODD
    assert read_back(ODD._replace(mood=Mood.GOOD, until=float("inf"))).until == float("inf")


@pytest.mark.parametrize(
    "wrong",
    [
        {"at": "soon"},
        {"at": True},
        {"at": 10**400},
        {"flags": "yes"},
        {"flags": [1]},
        {"pair": [1]},
        {"part": "a"},
        {"part": []},
        {"mood": "sour"},
        {"words": []},
        {"words": {"n": "3"}},
        {"until": "never"},
    ],
    ids=str,
)
def test_a_field_of_another_type_is_refused(wrong: dict[str, Any]) -> None:
    """By its value, so that it can be found."""
    fields: list[Item] = [*fields_of(ODD._replace(until=2.0), start=0.0)]
    [(name, value)] = wrong.items()
    fields[Odd._fields.index(name)] = value
    with pytest.raises(TraceError):
        Kind.of(Odd, list(Odd._fields)).read(fields)


def test_what_has_no_place_in_a_trace_is_refused() -> None:
    """At once, and not by writing nonsense."""

    class Strange(NamedTuple):
        at: float
        thing: object

    with pytest.raises(TypeError, match="has no place in a trace"):
        fields_of(Strange(1.0, object()), start=0.0)
    with pytest.raises(TypeError, match="has no place in a trace"):
        Kind.of(Strange, ["at", "thing"])
