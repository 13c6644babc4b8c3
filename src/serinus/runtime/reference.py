"""Prompts and right answers as JSON: what was learned of them, or what a user gives.

It reads and writes; what an answer is worth is `core.correctness`'s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from serinus.core.correctness import LESSONS, Lesson
from serinus.core.transcript import Token, Unit
from serinus.errors import SettingsError, excerpt

__all__ = [
    "PROMPTS",
    "Reference",
    "Sheet",
    "lesson_json",
    "lesson_of",
    "read_prompts",
    "sheet_json",
    "sheet_of",
]

PROMPTS = (
    "The canary in the coal mine",
    "1, 2, 3, 5, 8, 13,",
    "def fibonacci(n):",
)
"""Prose, numbers and code: each takes another part of a model."""

_VERSION = 1
_MOST_BYTES = 4 << 20
_MOST_PROMPTS = 64
_MOST_TOKENS = 4096
_LONGEST_PROMPT = 2000
_LEAST_NUMBER = -1e9


class Sheet(NamedTuple):
    """The prompts of one engine and what is known of the answers, of so many tokens each."""

    tokens: int
    lessons: Mapping[str, Lesson]


class Reference(NamedTuple):
    """Sheets by engine: its kind and its model. Right answers of one are none of another's."""

    sheets: Mapping[str, Sheet]

    @classmethod
    def read(cls, path: str) -> Reference:
        """Read a file. Raises SettingsError that says what is wrong with it."""
        try:
            with Path(path).open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise _refused(path, f"it cannot be read: {error.strerror}") from error
        try:
            return cls.of(content)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise _refused(path, excerpt(what, limit=160)) from error

    @classmethod
    def of(cls, content: bytes) -> Reference:
        """Read the content of a file. Raises KeyError, TypeError or ValueError."""
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        told = json.loads(content)
        if not isinstance(told, dict) or "serinus_reference" not in told:
            raise ValueError("it is no reference")
        version = told["serinus_reference"]
        if version != _VERSION:
            raise ValueError(
                f"it is of version {excerpt(version, limit=20)}, this reads {_VERSION}"
            )
        return cls({engine: sheet_of(sheet) for engine, sheet in told["engines"].items()})

    def write(self, path: str) -> None:
        """Replace a file. Raises OSError."""
        engines = {engine: sheet_json(sheet) for engine, sheet in self.sheets.items()}
        content = json.dumps(
            {"serinus_reference": _VERSION, "engines": engines}, indent=1, ensure_ascii=False
        )
        place = Path(path)
        beside = place.with_name(f".{place.name}.{os.getpid()}")
        try:
            beside.write_text(f"{content}\n", encoding="utf-8")
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)


def sheet_json(sheet: Sheet) -> dict[str, Any]:
    """Return a sheet as it is written."""
    lessons = {prompt: lesson_json(one) for prompt, one in sheet.lessons.items()}
    return {"tokens": sheet.tokens, "prompts": lessons}


def sheet_of(told: Mapping[str, Any]) -> Sheet:
    """Read a sheet. Raises KeyError, TypeError or ValueError."""
    tokens, prompts = told["tokens"], told["prompts"]
    if type(tokens) is not int or not 1 <= tokens <= _MOST_TOKENS:
        raise ValueError(f"{excerpt(tokens, limit=20)} is no number of tokens up to {_MOST_TOKENS}")
    if not 1 <= len(prompts) <= _MOST_PROMPTS:
        raise ValueError(f"{len(prompts)} prompts; accepted: 1 to {_MOST_PROMPTS}")
    return Sheet(tokens, {prompt: lesson_of(one) for prompt, one in prompts.items()})


def lesson_json(lesson: Lesson) -> dict[str, Any]:
    """Return a lesson as it is written."""
    return {
        "asked": lesson.asked,
        "by": str(lesson.by),
        "answer": list(lesson.tokens),
        "logprobs": _rounded(lesson.logprobs),
        "margins": _rounded(lesson.margins),
        "spread": round(lesson.spread, 5),
        "loops": lesson.loops,
        "silent": lesson.silent,
        "shaky": lesson.shaky,
    }


def lesson_of(told: Mapping[str, Any]) -> Lesson:
    """Read a lesson; what a person leaves out is not known. Raises KeyError, ValueError, TypeError.

    One that was written by hand has `answer` alone, and is taken for learned.
    """
    tokens = tuple(map(_token, told["answer"]))
    if len(tokens) > _MOST_TOKENS:
        raise ValueError(f"an answer of more than {_MOST_TOKENS} tokens")
    shaky = told.get("shaky")
    ids = all(type(token) is int for token in tokens)
    return Lesson(
        asked=_count(told.get("asked", LESSONS)),
        tokens=tokens,
        logprobs=_numbers(told.get("logprobs"), len(tokens)),
        margins=_numbers(told.get("margins"), len(tokens)),
        spread=abs(_number(told.get("spread", 0.0))),
        loops=told.get("loops") is True,
        silent=told.get("silent") is True,
        by=Unit(told.get("by", Unit.ID if ids else Unit.TEXT)),
        shaky=None if shaky is None else _count(shaky),
    )


def read_prompts(path: str) -> tuple[str, ...]:
    """Read prompts, one a line; empty lines and those that begin with # are none.

    Raises SettingsError.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            lines = list(islice(file, 10 * _MOST_PROMPTS))
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise _refused(path, f"it cannot be read: {why}") from error
    found = [line.rstrip("\r\n") for line in lines]
    prompts = tuple(dict.fromkeys(one for one in found if one.strip() and not one.startswith("#")))
    if not 1 <= len(prompts) <= _MOST_PROMPTS:
        raise _refused(path, f"it has {len(prompts)} prompts; accepted: 1 to {_MOST_PROMPTS}")
    if max(map(len, prompts)) > _LONGEST_PROMPT:
        raise _refused(path, f"a prompt has more than {_LONGEST_PROMPT} characters")
    return prompts


def _refused(path: str, why: str) -> SettingsError:
    return SettingsError(f"{excerpt(path, limit=1000)}: {why}")


def _rounded(numbers: Sequence[float] | None) -> list[float] | None:
    return None if numbers is None else [round(one, 5) for one in numbers]


def _token(told: Any) -> Token:
    if type(told) is not int and not isinstance(told, str):
        raise ValueError(f"{excerpt(told, limit=20)} is neither the id nor the text of a token")
    return told


def _count(told: Any) -> int:
    if type(told) is not int or told < 0:
        raise ValueError(f"{excerpt(told, limit=20)} is no count")
    return told


def _number(told: Any) -> float:
    if type(told) not in (int, float) or not isfinite(told) or told < _LEAST_NUMBER:
        raise ValueError(f"{excerpt(told, limit=20)} is no number")
    return float(told)


def _numbers(told: Any, count: int) -> tuple[float, ...] | None:
    if told is None:
        return None
    if not isinstance(told, list) or len(told) != count:
        raise ValueError(f"{count} numbers are wanted, one a token, not {excerpt(told, limit=40)}")
    return tuple(map(_number, told))
