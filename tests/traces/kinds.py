"""All kinds of evidence there are, and any values of them, found by their types alone."""

from __future__ import annotations

import types
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from serinus.core.evidence import Evidence, Registered
from serinus.core.rules import Rules
from serinus.core.verdict import Standing
from serinus.traces.values import is_time

KINDS: tuple[Any, ...] = get_args(Evidence)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TIMES = st.integers(0, 10**12).map(lambda micros: micros / 1e6)
"""Microseconds, the resolution of a trace."""


class Target:
    """What the manager would watch."""

    def __init__(self, name: str = "n.c.e", *, canary: bool = True, rules: Rules | None = None):
        self.name = name
        self.rules = rules if rules is not None else Rules()
        self.standing = Standing.of(Registered(0.0, canary))


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any values of a type."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return st.one_of([values_of(part) for part in parts])
    if hint is type(None):
        return st.none()
    if hint is float:
        return st.floats(allow_nan=False)
    if hint is str:
        return TEXTS
    if hint is int:
        return st.integers(-(2**53), 2**53)
    if hint is bool:
        return st.booleans()
    if origin is tuple and len(parts) == 2 and parts[1] is Ellipsis:
        return st.lists(values_of(parts[0]), max_size=4).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values_of, parts))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    if isinstance(hint, type) and issubclass(hint, tuple):
        return whole(hint)
    raise AssertionError(f"no values of {hint} are known here: teach `values_of`")


def whole(kind: Any) -> st.SearchStrategy[Any]:
    """Any values of a NamedTuple; its times have the resolution of a trace."""
    return st.builds(
        kind,
        **{
            name: _time(hint) if is_time(name) else values_of(hint)
            for name, hint in get_type_hints(kind).items()
            if name in kind._fields
        },
    )


def _time(hint: Any) -> st.SearchStrategy[float | None]:
    return st.one_of(st.none(), TIMES) if type(None) in get_args(hint) else TIMES


EVIDENCE = st.one_of([whole(kind) for kind in KINDS])
