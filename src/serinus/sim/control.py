"""The routes by which faults are put on and taken off while the simulator runs.

    GET    /_sim                what is going on, as the simulator knows it and an engine would not
    POST   /_sim/faults         {"fault": "hang", "seconds": 20, "after": 0, "value": null,
                                 "rank": null}
    DELETE /_sim/faults         end all faults, and forget those that are planned
    DELETE /_sim/faults/NAME    the same for one

They are for this machine alone: the caller sees to that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from serinus.errors import SettingsError
from serinus.sim.faults import Board, Fault, Plan, Window, parse_fault
from serinus.sim.loading import Phase
from serinus.sim.options import SimOptions, check_rank
from serinus.sim.pages import Page, json_page
from serinus.sim.ranks import Ranks

__all__ = ["PREFIX", "Control"]

PREFIX = "/_sim"
_FIELDS = ("fault", "seconds", "after", "value", "rank")


class Control:
    """Answers for the control routes."""

    def __init__(
        self,
        options: SimOptions,
        engine: Ranks,
        board: Board,
        *,
        phase: Callable[[], Phase],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._engine = engine
        self._board = board
        self._phase = phase
        self._clock = clock
        self._began = clock()

    def answer(self, method: str, path: str, body: bytes) -> Page:
        """Return the answer to a request for a path under `/_sim`."""
        match method, path.removeprefix(PREFIX).strip("/").split("/"):
            case "GET", [""]:
                return self._state()
            case "POST", ["faults"]:
                return self._tried(lambda: self._add(body))
            case "DELETE", ["faults"]:
                return self._tried(self._board.clear)
            case "DELETE", ["faults", name]:
                return self._tried(lambda: self._board.clear(parse_fault(name)))
        message = f"{method} {path}: accepted: GET {PREFIX}, POST or DELETE {PREFIX}/faults"
        return json_page({"error": message}, status=404)

    def _tried(self, change: Callable[[], None]) -> Page:
        try:
            change()
        except SettingsError as failure:
            return json_page({"error": str(failure)}, status=400)
        return self._state()

    def _add(self, body: bytes) -> None:
        plan = _read(body)
        check_rank(plan, self._options.ranks)
        if plan.fault is Fault.REFUSE and plan.seconds is None and not self._reachable_for_good:
            raise SettingsError(
                "fault 'refuse' closes this port too, and could not be taken off again: "
                'give "seconds", or start with --control-port'
            )
        self._board.add(plan.window(self._clock()))

    @property
    def _reachable_for_good(self) -> bool:
        return self._options.control_port is not None

    def _state(self) -> Page:
        now = self._clock()
        return json_page(
            {
                "engine": self._options.engine,
                "model": self._options.model,
                "ranks": self._options.ranks,
                "uptime_seconds": round(now - self._began, 3),
                "phase": self._phase(),
                "sequences": {
                    "running": self._engine.running,
                    "waiting": self._engine.waiting,
                    "unseen": self._engine.unseen,
                },
                "faults": [
                    {**_named(each), "seconds_left": _finite(each.end - now)}
                    for each in self._board.active()
                ],
                "planned": [
                    {
                        **_named(each),
                        "after": round(each.start - now, 3),
                        "seconds": _finite(each.end - each.start),
                    }
                    for each in self._board.planned()
                ],
            }
        )


def _named(window: Window) -> Mapping[str, Any]:
    plain = {"fault": window.fault, "value": window.value}
    return plain if window.rank is None else {**plain, "rank": window.rank}


def _finite(seconds: float) -> float | None:
    """Return the seconds; for good is null, as JSON has no infinity."""
    return None if seconds == float("inf") else round(seconds, 3)


def _read(body: bytes) -> Plan:
    try:
        asked = json.loads(body)
    except ValueError:
        asked = None
    if not isinstance(asked, Mapping) or not isinstance(asked.get("fault"), str):
        raise SettingsError(
            'a JSON object with the name of a fault is accepted: {"fault": "hang", "seconds": 20}'
        )
    strange = sorted(set(asked) - set(_FIELDS))
    if strange:
        raise SettingsError(f"unknown field '{strange[0]}'; accepted: {', '.join(_FIELDS)}")
    return Plan(
        parse_fault(asked["fault"]),
        after=_number(asked, "after") or 0.0,
        seconds=_number(asked, "seconds"),
        value=_number(asked, "value"),
        rank=_whole(asked, "rank"),
    )


def _whole(asked: Mapping[str, Any], field: str) -> int | None:
    value = _number(asked, field)
    if value is not None and value % 1:
        raise SettingsError(f"{field}: a whole number is accepted, not {value!r}")
    return None if value is None else int(value)


def _number(asked: Mapping[str, Any], field: str) -> float | None:
    value = asked.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise SettingsError(f"{field}: a number of at least 0 is accepted, not {value!r}")
    return float(value)
