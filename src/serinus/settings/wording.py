"""The sentences of settings errors: what was written, where, and what is accepted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from serinus.errors import excerpt

if TYPE_CHECKING:
    from serinus.settings.table import Setting

__all__ = ["nearest", "refused", "together", "unknown"]


_WITH_PASSWORD = re.compile("//[^/]*@")
"""An address with a user in it, and perhaps a password."""


def refused(row: Setting, where: str, value: object, *, hint: str = "") -> str:
    """Say that a value is not accepted; a secret's value is not repeated."""
    hidden = row.secret or _WITH_PASSWORD.search(str(value)) is not None
    shown = "the value (not shown)" if hidden else excerpt(repr(value), limit=80)
    tail = f" ({hint})" if hint else ""
    return f"{where}: {shown} is not accepted; accepted: {row.kind.accepted}{tail}"


def unknown(where: str, guess: str | None) -> str:
    """Say that a name is not known, and which known one may be meant."""
    return f"{where}: unknown{f'; did you mean {guess}?' if guess else ''}"


def together(problems: Sequence[str]) -> str:
    """One message of all problems, each on its own line.

    >>> together(["a: wrong"])
    'a: wrong'
    >>> print(together(["a: wrong", "b: wrong"]))
    2 settings are wrong:
      a: wrong
      b: wrong
    """
    if len(problems) == 1:
        return problems[0]
    return "\n  ".join([f"{len(problems)} settings are wrong:", *problems])


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like this one, if any is."""
    import difflib  # noqa: PLC0415 - only a misspelt name pays for it

    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return matches[0] if matches else None
