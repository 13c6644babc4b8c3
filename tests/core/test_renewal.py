"""A value's `_replace` that costs little is the usual one in everything else."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.renewal import renewed_often


class Usual(NamedTuple):
    """As NamedTuples are."""

    a: int
    b: str = "b"
    c: float = 1.5


@renewed_often
class Often(NamedTuple):
    """The same, renewed often."""

    a: int
    b: str = "b"
    c: float = 1.5


@given(st.fixed_dictionaries({}, optional={"a": st.integers(), "b": st.text(), "c": st.floats()}))
def test_it_is_the_same_as_the_usual_one(changes: dict[str, object]) -> None:
    """Whatever is changed, and the old value stays as it was."""
    before = Often(7)
    after = before._replace(**changes)  # type: ignore[arg-type]
    assert type(after) is Often
    assert repr(tuple(after)) == repr(tuple(Usual(7)._replace(**changes)))  # type: ignore[arg-type]
    assert before == (7, "b", 1.5)


def test_an_unknown_field_is_an_error() -> None:
    """By its name."""
    with pytest.raises((KeyError, ValueError), match="d"):
        Often(7)._replace(d=1)  # type: ignore[call-arg]
