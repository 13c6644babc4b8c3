"""Values that are renewed often: a NamedTuple's `_replace` that costs little.

The usual one asks about each field that there is, and a standing has thirty. This one copies them
all at once.
"""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["renewed_often"]

T = TypeVar("T", bound=tuple[Any, ...])


def renewed_often(cls: type[T]) -> type[T]:
    """Give a NamedTuple a `_replace` that does the same in less than half the time.

    >>> from typing import NamedTuple
    >>> @renewed_often
    ... class Point(NamedTuple):
    ...     x: int
    ...     y: int
    >>> Point(1, 2)._replace(y=3)
    Point(x=1, y=3)
    """
    places: dict[str, int] = {name: place for place, name in enumerate(cls._fields)}  # type: ignore[attr-defined] # a NamedTuple has them
    make = tuple.__new__

    def _replace(self: T, /, **changes: Any) -> T:
        fields = [*self]
        for name, value in changes.items():
            fields[places[name]] = value
        return make(cls, fields)

    cls._replace = _replace  # type: ignore[attr-defined] # as above
    return cls
