"""The trade-off as a picture: SVG, drawn here.

A plotting library would be ten times as large as Serinus with everything it needs; this is one
kind of chart, and SVG is text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

from serinus.replay.comparing import Column
from serinus.replay.objective import Objective
from serinus.replay.search import Found, Trial

__all__ = ["drawn"]

_WIDTH, _HEIGHT = 860, 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 28, 76, 104
_NEVER_BAND = 34
_LETTER = 7.3
"""Pixels of a bold letter, on average."""
_GREY, _RED, _BLUE, _GREEN, _INK, _ORANGE = (
    "#9aa5b1",
    "#d64545",
    "#2b6cb0",
    "#2f855a",
    "#1f2933",
    "#b7791f",
)


class _Axis(NamedTuple):
    """A logarithmic axis from `low` to `high` between two pixels."""

    low: float
    high: float
    begin: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], begin: float, end: float) -> _Axis:
        """Take in all values, with some room."""
        known = [value for value in values if value > 0 and math.isfinite(value)] or [1.0]
        low, high = min(known) / 1.35, max(known) * 1.35
        if high / low < 10:
            middle = math.sqrt(low * high)
            low, high = middle / math.sqrt(10), middle * math.sqrt(10)
        return cls(low, high, begin, end)

    def at(self, value: float) -> float:
        """The pixel of a value."""
        value = min(max(value, self.low), self.high)
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.begin + share * (self.end - self.begin), 1)

    def ticks(self) -> Iterator[float]:
        """1, 2, 5, 10, … within the axis; the powers of ten alone where that would be too many."""
        steps = (1, 2, 5) if self.high / self.low < 2000 else (1,)
        for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1):
            for step in steps:
                if self.low <= step * 10.0**power <= self.high:
                    yield step * 10.0**power


def drawn(found: Found, objective: Objective, *, about: str) -> str:
    """Draw all trials, the trade-off without false alarms, the objective and what was chosen."""
    columns = [*(trial.column for trial in found.trials), found.baseline]
    across = _Axis.over((column.canaries_per_hour for column in columns), _LEFT, _WIDTH - _RIGHT)
    limit = objective.limit("detect")
    delays = [column.worst or 0.0 for column in columns] + ([limit] if limit else [])
    up = _Axis.over(delays, _HEIGHT - _BOTTOM, _TOP + _NEVER_BAND)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="Helvetica, Arial, sans-serif" '
        f'font-size="13" fill="{_INK}">'
    )
    parts = [
        opening,
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 28, "How soon faults are seen, and what that costs", size=18, bold=True),
        _text(_LEFT, 50, about, colour="#52606d"),
        *_grid(across, up),
    ]
    if limit:
        parts += _objective(limit, up)
    parts += [_dot(trial.column, across, up) for trial in found.trials]
    parts += _front(found.frontier, across, up)
    parts += _label(found.baseline, across, up, "as recorded", _ORANGE, below=False, shape=_diamond)
    word = "chosen" if found.met else "closest"
    parts += _label(
        found.best.column,
        across,
        up,
        f"{word}: {_said(found.best)}",
        _GREEN,
        below=True,
        shape=_disc,
    )
    parts += _legend(found)
    return "\n".join([*parts, "</svg>", ""])


def _grid(across: _Axis, up: _Axis) -> Iterator[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    yield (
        f'<rect x="{_LEFT}" y="{_TOP}" width="{right - _LEFT}" height="{_NEVER_BAND}" '
        'fill="#fdf0f0"/>'
    )
    yield _text(_LEFT - 8, _TOP + 22, "never", anchor="end")
    for value in across.ticks():
        x = across.at(value)
        yield _line(x, _TOP, x, bottom, "#e4e7eb")
        yield _text(x, bottom + 18, f"{value:,.10g}", anchor="middle")
    for value in up.ticks():
        y = up.at(value)
        yield _line(_LEFT, y, right, y, "#e4e7eb")
        yield _text(_LEFT - 8, y + 4, f"{value:,.10g}", anchor="end")
    yield (
        f'<rect x="{_LEFT}" y="{_TOP}" width="{right - _LEFT}" height="{bottom - _TOP}" '
        'fill="none" stroke="#7b8794"/>'
    )
    yield _text((_LEFT + right) / 2, bottom + 40, "canaries an hour", anchor="middle")
    middle = (_TOP + bottom) / 2
    yield (
        f'<text x="22" y="{middle}" text-anchor="middle" transform="rotate(-90 22 {middle})">'
        "longest detection, seconds</text>"
    )


def _objective(limit: float, up: _Axis) -> Iterator[str]:
    y, right = up.at(limit), _WIDTH - _RIGHT
    yield (
        f'<line x1="{_LEFT}" y1="{y}" x2="{right}" y2="{y}" stroke="{_GREEN}" '
        'stroke-dasharray="6 4"/>'
    )
    yield _text(right - 6, y - 6, f"objective: {limit:g} s", colour=_GREEN, anchor="end")


def _place(column: Column, across: _Axis, up: _Axis) -> tuple[float, float]:
    x, worst = across.at(column.canaries_per_hour), column.worst or 0.0
    return x, up.at(worst) if math.isfinite(worst) else _TOP + _NEVER_BAND / 2


def _dot(column: Column, across: _Axis, up: _Axis) -> str:
    x, y = _place(column, across, up)
    if column.false_alarms:
        return (
            f'<path d="M{x - 3.5} {y - 3.5}l7 7m0 -7l-7 7" stroke="{_RED}" stroke-width="1.4" '
            'stroke-opacity="0.75"/>'
        )
    return f'<circle cx="{x}" cy="{y}" r="3.5" fill="{_GREY}" fill-opacity="0.75"/>'


def _front(front: list[Trial], across: _Axis, up: _Axis) -> Iterator[str]:
    places = [_place(trial.column, across, up) for trial in front]
    if not places:
        return
    path = f"M{places[0][0]} {places[0][1]}"
    path += "".join(f"H{x}V{y}" for x, y in places[1:])
    yield f'<path d="{path}" fill="none" stroke="{_BLUE}" stroke-width="2"/>'
    for x, y in places:
        yield f'<circle cx="{x}" cy="{y}" r="4" fill="{_BLUE}"/>'


def _label(
    column: Column,
    across: _Axis,
    up: _Axis,
    text: str,
    colour: str,
    *,
    below: bool,
    shape: Callable[[float, float, str], str],
) -> Iterator[str]:
    """Mark a place; the text goes below it to the left, where no trial can be, or above it."""
    x, y = _place(column, across, up)
    yield shape(x, y, colour)
    width = _LETTER * len(text)
    begin = x - 12 - width if below else x + 12
    begin = min(max(begin, _LEFT + 8), _WIDTH - _RIGHT - 8 - width)
    beside = y < _TOP + _NEVER_BAND  # there is no room above it
    moved = 5 if beside else 26 if below else -12
    yield _text(round(begin, 1), y + moved, text, colour=colour, bold=True, halo=True)


def _disc(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x}" cy="{y}" r="8" fill="{colour}" stroke="white" stroke-width="2"/>'


def _diamond(x: float, y: float, colour: str) -> str:
    return (
        f'<path d="M{x} {y - 9}l9 9l-9 9l-9 -9z" fill="{colour}" stroke="white" stroke-width="2"/>'
    )


def _legend(found: Found) -> Iterator[str]:
    y = _HEIGHT - 24
    alarmed = sum(bool(trial.column.false_alarms) for trial in found.trials)
    entries = (
        (f'<circle cx="0" cy="0" r="3.5" fill="{_GREY}"/>', f"{len(found.trials)} settings tried"),
        (
            f'<path d="M-3.5 -3.5l7 7m0 -7l-7 7" stroke="{_RED}" stroke-width="1.4"/>',
            f"with false alarms ({alarmed})",
        ),
        (
            f'<path d="M-10 0h20" stroke="{_BLUE}" stroke-width="2"/>',
            "the best without false alarms",
        ),
    )
    x = float(_LEFT + 10)
    for shape, text in entries:
        yield f'<g transform="translate({x} {y - 4})">{shape}</g>'
        yield _text(x + 16, y, text)
        x += 40 + 7.0 * len(text)


def _said(trial: Trial) -> str:
    values = trial.values
    return (
        f"wait {values['wait']:g} s, deadline {values['deadline']:g} s, "
        f"stall {values['stall']:g} s, {values['failure_threshold']} failure(s)"
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 13,
    colour: str = _INK,
    anchor: str = "start",
    bold: bool = False,
    halo: bool = False,
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    glow = ' paint-order="stroke" stroke="white" stroke-width="4"' if halo else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"'
        f"{weight}{glow}>{escape(text)}</text>"
    )
