"""What was learned of endpoints, in a small file that survives a restart.

It is a convenience: a file that is missing, damaged, of a newer version, or of another engine or
model costs a warning at the most, and a cold start. A path where no file can ever be is a mistake,
and stops the start. It is replaced whole, so that a reader never sees half of one, and is never
written on the event loop.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from serinus.core.budget import Purse
from serinus.core.deadlines import Learned, Spread
from serinus.core.performance import Usual
from serinus.errors import SettingsError, excerpt
from serinus.runtime.reference import Sheet, sheet_json, sheet_of

__all__ = ["Memory", "Remembered", "Told"]

Told: TypeAlias = tuple[str, str, Learned, Usual, tuple[Purse, Purse], Sheet | None]
"""What is kept of an endpoint: its address, its engine, what was learned, its usual first token,
what is spent of its budgets and not filled again, its right answers."""

logger = logging.getLogger("serinus")

_VERSION = 1
_MOST_BYTES = 16 << 20
_MOST = 10_000
"""Endpoints that are kept."""
_MOST_SPENT = 1e11
_LONGEST = 1e6
"""Seconds; and the largest of any number in the file but the counts."""


class Remembered(NamedTuple):
    """What is kept of one endpoint. `engine` is whose times they are: its kind and its model."""

    engine: str
    learned: Learned
    first: Usual = Usual()
    """The first token of idle canaries."""
    purses: tuple[Purse, Purse] = (Purse(), Purse())
    """What is spent of the budgets of canaries and of tokens, as of its writing."""
    sheet: Sheet | None = None
    """What it answers to fixed prompts when it is well."""

    def as_json(self) -> dict[str, Any]:
        """Return it as it is written."""
        learned = self.learned
        return {
            "engine": self.engine,
            "canaries": list(learned.canaries),
            "gaps": list(learned.gaps),
            "on_top": learned.on_top,
            "beside": learned.beside,
            "first": list(self.first),
            **({"spent": spent} if any(spent := _spent(self.purses)) else {}),
            **({} if self.sheet is None else {"answers": sheet_json(self.sheet)}),
        }

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Remembered:
        """Read it. Raises KeyError, TypeError or ValueError for what cannot be."""
        learned = Learned(
            canaries=Spread(*_numbers(told["canaries"], 4)),
            gaps=Spread(*_numbers(told["gaps"], 4)),
            on_top=_number(told["on_top"]),
            beside=told["beside"] is True,
        )
        first = Usual(*_numbers(told["first"], 2))
        try:  # answers that cannot be read cost no deadlines, and no budget
            sheet = sheet_of(told["answers"]) if "answers" in told else None
        except (AttributeError, KeyError, TypeError, ValueError):
            sheet = None
        return cls(str(told["engine"]), learned, first, _purses(told.get("spent", ())), sheet)


class Memory:
    """The file, and what was in it at the start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Remembered] = {}
        self._written: dict[str, Remembered] = {}

    def load(self) -> None:
        """Read the file; a warning says why one was of no use.

        Raises SettingsError where it could never be written, which is found now, and not after
        hours of service.
        """
        why_not = _obstacle(self.path)
        if why_not:
            raise SettingsError(
                f"state_file: {str(self.path)!r} cannot be written: {why_not}; accepted: a path in "
                "a folder that is there and can be written"
            )
        try:
            with self.path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return
        except OSError as error:
            self._warn(error.strerror or str(error))
            return
        try:
            self._known = _read(content)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            self._warn(excerpt(error, limit=120))

    def recall(self, address: str, engine: str) -> Remembered | None:
        """Return what is known of an endpoint, if it is of the same engine."""
        known = self._known.get(address)
        return known if known is not None and known.engine == engine else None

    def spent(self, address: str, now: float) -> tuple[Purse, Purse]:
        """Return what was spent of an endpoint's budgets, whatever its engine is.

        The time that nobody ran does not count: it errs on the side of spending less.
        """
        known = self._known.get(address)
        purses = known.purses if known is not None else (Purse(), Purse())
        return purses[0]._replace(at=now), purses[1]._replace(at=now)

    def keep(self, told: Iterable[Told]) -> bool:
        """Take in what is known now, and say whether there is anything new to write."""
        for address, engine, learned, first, purses, sheet in told:
            if address in self._known or len(self._known) < _MOST:
                kept = (purses[0]._replace(at=0.0), purses[1]._replace(at=0.0))
                before = self.recall(address, engine)  # which somebody may have examined then
                answers = sheet or (None if before is None else before.sheet)
                settled = _settled(learned)
                self._known[address] = Remembered(engine, settled, first, kept, answers)
        return self._known != self._written

    def write(self) -> None:
        """Replace the file; blocks. Of what fails a warning is written."""
        known = dict(self._known)
        content = json.dumps(
            {
                "serinus_state": _VERSION,
                "endpoints": {address: one.as_json() for address, one in known.items()},
            },
            separators=(",", ":"),
        )
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            beside.write_text(content, encoding="utf-8")
            beside.replace(self.path)
        except OSError as error:
            logger.warning("%s: what was learned cannot be kept: %s", self.path, error.strerror)
            beside.unlink(missing_ok=True)
            return
        self._written = known

    def _warn(self, why: str) -> None:
        logger.warning("%s: what was learned is not taken over: %s", self.path, why)


def _obstacle(path: Path) -> str:
    """Say why no file can be written there; empty if one can, by all that is known now."""
    if os.path.isdir(path):  # unlike Path's, it raises nothing where it may not look  # noqa: PTH112
        return "it is a folder"
    if not os.path.isdir(path.parent):  # noqa: PTH112 - as above
        return "its folder is not there"
    return (
        "" if os.access(path.parent, os.W_OK | os.X_OK) else "this process may not, in its folder"
    )


def _settled(learned: Learned) -> Learned:
    """Leave out what is owed, and half a lesson: they begin anew."""
    return Learned(learned.canaries, learned.gaps, learned.on_top, beside=learned.beside)


def _read(content: bytes) -> dict[str, Remembered]:
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES} bytes")
    told = json.loads(content)
    version = told["serinus_state"] if isinstance(told, dict) and "serinus_state" in told else None
    if version is None:
        raise ValueError("it is no state file")
    if version != _VERSION:
        raise ValueError(f"it is of version {excerpt(version, limit=20)}, this reads {_VERSION}")
    endpoints = told["endpoints"]
    if len(endpoints) > _MOST:
        raise ValueError(f"it has more than {_MOST} endpoints")
    return {address: Remembered.of(one) for address, one in endpoints.items()}


def _spent(purses: tuple[Purse, Purse]) -> list[float]:
    return [round(spent, 3) for purse in purses for spent in (purse.routine, purse.reserve)]


def _purses(told: Any) -> tuple[Purse, Purse]:
    """Read what was spent; a file from before there were budgets has nothing."""
    if not told:
        return Purse(), Purse()
    if not isinstance(told, list) or len(told) != 4:
        raise ValueError(f"4 numbers are wanted, not {excerpt(told, limit=40)}")
    spent = [_number(one, most=_MOST_SPENT) for one in told]
    return Purse(spent[0], spent[1]), Purse(spent[2], spent[3])


def _numbers(told: Any, count: int) -> list[Any]:
    """Read a count of times, and what they come to."""
    if not isinstance(told, list) or len(told) != count:
        raise ValueError(f"{count} numbers are wanted, not {excerpt(told, limit=40)}")
    samples = told[0]
    if type(samples) is not int or samples < 0:
        raise ValueError(f"{excerpt(samples, limit=20)} is no count")
    mean = told[1]
    if type(mean) not in (int, float) or not abs(mean) <= 50:
        raise ValueError(f"{excerpt(mean, limit=20)} is no mean of logarithms")
    return [samples, float(mean), *map(_number, told[2:])]


def _number(told: Any, *, most: float = _LONGEST) -> float:
    if type(told) not in (int, float) or not isfinite(told) or not 0 <= told <= most:
        raise ValueError(f"{excerpt(told, limit=20)} is no number from 0 to {most:g}")
    return float(told)
