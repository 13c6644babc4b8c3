"""Frozen values (NamedTuples of numbers, texts, vocabularies and such) as plain items, and back.

Nothing here knows a kind of evidence: a new kind is carried as soon as it exists. A field is a
time of the monotonic clock if its name says so (`is_time`); times are written relative to the
recorder's start, with a resolution of a microsecond. All else comes back as it was.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from serinus.errors import TraceError, excerpt
from serinus.traces.lines import Item

__all__ = ["Item", "Kind", "as_item", "fields_of", "is_time", "shifted"]

_TIMES = frozenset({"at", "sent", "until", "since"})
_TIME_ENDS = ("_at", "_until", "_since")


def is_time(field: str) -> bool:
    """Whether a field is a time of the clock, by its name.

    >>> [name for name in ("at", "sent", "flow_at", "total", "until") if is_time(name)]
    ['at', 'sent', 'flow_at', 'until']
    """
    return field in _TIMES or field.endswith(_TIME_ENDS)


def shifted(value: Any, by: float) -> Any:
    """Return a NamedTuple with all of its times moved, in seconds."""
    moved = {
        name: time + by
        for name, time in zip(value._fields, value, strict=True)
        if is_time(name) and time is not None
    }
    return value._replace(**moved)


# --- writing -------------------------------------------------------------------------------------


def fields_of(value: Any, *, start: float) -> list[Item]:
    """Write the fields of a NamedTuple, the defaults at its end left out."""
    fields = type(value)._fields
    items = [
        _time(one, start) if is_time(name) else as_item(one)
        for name, one in zip(fields, value, strict=True)
    ]
    defaults = type(value)._field_defaults
    while items and fields[len(items) - 1] in defaults:
        last = fields[len(items) - 1]
        if value[len(items) - 1] != defaults[last]:
            break
        items.pop()
    return items


def as_item(value: Any) -> Item:
    """Write a value; numbers that JSON has no words for become text."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, Enum):
        return as_item(value.value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): as_item(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [as_item(one) for one in value]
    raise TypeError(f"{type(value).__name__} has no place in a trace")


def _time(value: Any, start: float) -> Item:
    return None if value is None else as_item(round(value - start, 6))


# --- reading -------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """How to read the fields of one NamedTuple, written with the fields `written`."""

    made: Callable[..., Any]
    places: tuple[tuple[str, int, Callable[[Item], Any]], ...]

    @classmethod
    def of(cls, made: Any, written: list[str]) -> Kind:
        """Match fields by name: unknown ones are left, missing ones take their default."""
        hints = get_type_hints(made)
        places = tuple(
            (name, written.index(name), _reader(hints[name]))
            for name in made._fields
            if name in written
        )
        return cls(made, places)

    def read(self, items: list[Item]) -> Any:
        """Read a value. Raises TraceError if a field is missing or of another type."""
        given = {
            name: reader(items[index]) for name, index, reader in self.places if index < len(items)
        }
        try:
            return self.made(**given)
        except TypeError as error:
            raise TraceError(excerpt(error)) from None


def _reader(hint: Any) -> Callable[[Item], Any]:
    if get_origin(hint) in {Union, types.UnionType}:
        return _choice([_reader(one) for one in get_args(hint)])
    if hint is type(None):
        return _nothing
    if hint is float:
        return _number
    if get_origin(hint) is tuple:
        return _row(get_args(hint))
    if get_origin(hint) is not None and issubclass(get_origin(hint), Mapping):
        return _mapping(*map(_reader, get_args(hint)))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _word(hint)
    if isinstance(hint, type) and issubclass(hint, tuple):
        return _record(hint)
    if hint in {bool, int, str}:
        return _plain(hint)
    raise TypeError(f"{hint} has no place in a trace")


def _choice(readers: list[Callable[[Item], Any]]) -> Callable[[Item], Any]:
    def read(item: Item) -> Any:
        for reader in readers[:-1]:
            try:
                return reader(item)
            except TraceError:
                continue
        return readers[-1](item)

    return read


def _nothing(item: Item) -> None:
    if item is not None:
        raise _strange(item)


def _number(item: Item) -> float:
    if isinstance(item, bool) or not isinstance(item, int | float | str):
        raise _strange(item)
    try:
        return float(item)
    except (ValueError, OverflowError):
        raise _strange(item) from None


def _plain(kind: type) -> Callable[[Item], Any]:
    def read(item: Item) -> Any:
        if type(item) is not kind:
            raise _strange(item)
        return item

    return read


def _word(kind: type[Enum]) -> Callable[[Item], Any]:
    def read(item: Item) -> Any:
        try:
            return kind(item)
        except ValueError:
            raise TraceError(f"{kind.__name__} {excerpt(item, limit=40)!r}") from None

    return read


def _row(kinds: tuple[Any, ...]) -> Callable[[Item], Any]:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        one = _reader(kinds[0])
        return lambda item: tuple(one(part) for part in _listed(item))
    readers = [_reader(kind) for kind in kinds]

    def read(item: Item) -> Any:
        parts = _listed(item)
        if len(parts) != len(readers):
            raise _strange(item)
        return tuple(reader(part) for reader, part in zip(readers, parts, strict=True))

    return read


def _record(kind: Any) -> Callable[[Item], Any]:
    whole = Kind.of(kind, list(kind._fields))
    return lambda item: whole.read(_listed(item))


def _mapping(
    key: Callable[[Item], Any], value: Callable[[Item], Any]
) -> Callable[[Item], Mapping[Any, Any]]:
    def read(item: Item) -> Mapping[Any, Any]:
        if not isinstance(item, dict):
            raise _strange(item)
        return {key(name): value(one) for name, one in item.items()}

    return read


def _listed(item: Item) -> list[Item]:
    if not isinstance(item, list):
        raise _strange(item)
    return item


def _strange(item: Item) -> TraceError:
    return TraceError(f"the value {excerpt(item, limit=40)!r}")
