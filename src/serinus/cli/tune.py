"""`serinus tune`: search the settings that meet an objective over recorded evidence."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from serinus.cli.replay import about, add_traces, cases_of, column_as_json, finite, rows, seconds
from serinus.cli.tables import table
from serinus.errors import SettingsError, excerpt
from serinus.replay.objective import MEASURES, Objective, read_objective
from serinus.replay.picture import drawn
from serinus.replay.search import Found, Trial, search
from serinus.replay.shipped import shipped
from serinus.replay.variants import as_variables
from serinus.settings.kinds import RefusedError, Seconds, Whole

__all__ = ["add_arguments", "run"]

OBJECTIVE = "detect<=5s, false_alarms=0"
EPILOG = f"""\
examples:
  serinus tune engine.trace
      the cheapest settings that see every fault of the trace within 5 s, without a false alarm
  serinus tune *.trace --objective 'detect<=3s, false_alarms=0, canaries_per_hour<=900'
      with a bound on the cost; what cannot be had says what is closest
  serinus tune --shipped --picture trade-off.svg
      over the faults of real engines that come with Serinus

measures: {", ".join(MEASURES)}

Settings are as good as the traces: what they do not hold was not tried. Replay the chosen ones, and
read what a replay can know, in docs/traces.md.

exit codes: 0 found · 1 none meet the objective (the closest are printed), or a trace is damaged
            2 wrong command line, or no trace
"""
_TRIES, _TIME = Whole(1, 100000), Seconds(0.001)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the traces, the objective and the bounds of the search."""
    parser.epilog = EPILOG
    add_traces(parser)
    parser.add_argument(
        "--objective",
        metavar="MEASURE<=LIMIT,...",
        default=OBJECTIVE,
        help=f"what is wanted (default: '{OBJECTIVE}')",
    )
    parser.add_argument("--tries", default="300", help="settings that are tried (default: 300)")
    parser.add_argument(
        "--seconds",
        default="600",
        help="the time after which the search ends, and is not reproducible (default: 600)",
    )
    parser.add_argument(
        "--picture",
        metavar="FILE",
        default="tune.svg",
        help="where the trade-off is drawn, as SVG; '' for none (default: tune.svg)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Search, and print what was found."""
    if arguments.list:
        print("\n".join(shipped()))
        return 0
    objective = read_objective(arguments.objective)
    tries = _read(_TRIES, "--tries", arguments.tries)
    patience = _read(_TIME, "--seconds", arguments.seconds)
    picture = Path(arguments.picture) if arguments.picture else None
    if picture is not None and picture.suffix != ".svg":
        raise SettingsError(f"--picture '{picture}': accepted: a name that ends in .svg")
    if picture is not None:
        _touch(picture)
    cases, damaged = cases_of(arguments)
    deadline = time.monotonic() + patience
    progress = _Progress(int(tries))
    found = search(
        cases,
        objective,
        tries=int(tries),
        seed=arguments.seed,
        over=lambda: time.monotonic() > deadline,
        progress=progress.tell,
    )
    progress.end()
    if arguments.json:
        print(json.dumps(_as_json(found, objective), indent=2))
    else:
        print(about(cases))
        print(_report(found, objective))
    if picture is not None:
        _write(picture, drawn(found, objective, about=about(cases)))
        if not arguments.json:
            print(f"\nthe trade-off as a picture: {picture}")
    return 0 if found.met and not damaged else 1


def _read(kind: Whole | Seconds, flag: str, text: str) -> float:
    try:
        return kind.read(text)
    except RefusedError:
        shown = excerpt(text, limit=40)
        raise SettingsError(f"{flag} '{shown}': accepted: {kind.accepted}") from None


def _touch(picture: Path) -> None:
    """Find out before the search, and not minutes later, whether it can be written."""
    there = picture.exists()
    try:
        with picture.open("a"):
            pass
        if not there:
            picture.unlink()
    except OSError as error:
        raise _unwritable(picture, error) from error


def _write(picture: Path, text: str) -> None:
    try:
        picture.write_text(text)
    except OSError as error:
        raise _unwritable(picture, error) from error


def _unwritable(picture: Path, error: OSError) -> SettingsError:
    return SettingsError(f"--picture '{picture}': cannot be written: {error.strerror}")


class _Progress:
    """One line on a terminal that says how far the search is."""

    def __init__(self, tries: int) -> None:
        self._tries = tries
        self._shown = sys.stderr.isatty()

    def tell(self, count: int, best: Trial) -> None:
        """Write it anew."""
        if self._shown:
            worst = seconds(best.column.worst)
            line = f"{count} of {self._tries} tried; best so far: longest detection {worst}"
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Take it away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _report(found: Found, objective: Objective) -> str:
    best = found.best
    tried = f"{len(found.trials)} settings tried"
    if not found.complete:
        tried += ", then the time was over"
    if found.met:
        parts = [f"{tried}; these meet the objective ({objective}):"]
    else:
        missed = "\n".join(f"  {one}" for one in objective.missed(best.column))
        told = f"{tried}; none meets the objective ({objective})."
        parts = [f"{told}\nThe closest misses it by\n{missed}\nwith"]
    parts[0] += "\n\n" + "\n".join(f"  {line}" for line in as_variables(best.values))
    beside = [
        found.baseline._replace(name="as recorded"),
        best.column._replace(name="chosen" if found.met else "closest"),
    ]
    parts.append(table(rows(beside)))
    if found.frontier:
        parts.append("the trade-off, without false alarms\n" + _front(found))
    return "\n\n".join(parts)


def _front(found: Found) -> str:
    lines = [["", "canaries an hour", "longest", "median", *next(iter(found.trials)).values]]
    shown = found.frontier
    if found.best not in shown:
        shown = sorted([*shown, found.best], key=lambda one: one.column.canaries_per_hour)
    for trial in shown:
        column = trial.column
        lines.append(
            [
                "->" if trial is found.best else "",
                f"{column.canaries_per_hour:.0f}",
                seconds(column.worst),
                seconds(column.median),
                *(f"{value:g}" for value in trial.values.values()),
            ]
        )
    return table(lines)


def _as_json(found: Found, objective: Objective) -> dict[str, object]:
    return {
        "objective": str(objective),
        "met": found.met,
        "missed": objective.missed(found.best.column),
        "variables": as_variables(found.best.values),
        "chosen": {"rules": dict(found.best.values), **column_as_json(found.best.column)},
        "recorded": column_as_json(found.baseline),
        "complete": found.complete,
        "trials": [
            {
                "rules": dict(trial.values),
                "canaries_per_hour": round(trial.column.canaries_per_hour, 3),
                "detection_worst_seconds": finite(trial.column.worst),
                "false_alarms": trial.column.false_alarms,
            }
            for trial in found.trials
        ],
        "frontier": [dict(trial.values) for trial in found.frontier],
    }
