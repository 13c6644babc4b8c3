"""`serinus simulate`: the judge through seeded faults in virtual time, beside two others."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from math import inf, isinf
from typing import Any

from serinus.cli.tables import table
from serinus.errors import SettingsError
from serinus.settings import TABLE, load
from serinus.simulation.faults import ABOUT, STOPS, faults_named
from serinus.simulation.judging import JUDGES, Broken
from serinus.simulation.record import Record
from serinus.simulation.score import Score, percentile
from serinus.simulation.world import Plan
from serinus.simulation.worlds import judge_worlds

__all__ = ["add_arguments", "run"]

_MOST_SHOWN = 10
EPILOG = f"""\
faults:
{chr(10).join(f"  {fault:<15} {about}" for fault, about in ABOUT.items())}
  all, stops (no tokens come), harmless (nobody may be accused) and none stand for many.

examples:
  serinus simulate
      20 worlds of 8 engines for an hour each, and three judges over them
  serinus simulate --set canary_wait_time=2 --set failure_threshold=3
      the same faults by other settings
  serinus simulate --seed 7 --trace
      all that was seen and said in world 7, which is the same each time
  serinus simulate --seeds 1000 --faults harmless --busy --judge serinus --jobs 4
      is a busy engine ever accused?

exit codes: 0 done · 1 a promise was broken (docs/simulation.md) · 2 wrong command line
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.epilog = EPILOG
    parser.description = (
        "Run the real judge, with its scheduler, over simulated engines in virtual time:\n"
        "faults from a seed, delays of detection, false alarms, and promises that must hold."
    )

    def add(flag: str, metavar: str, default: str, about: str) -> None:
        parser.add_argument(
            flag, metavar=metavar, default=default, help=f"{about} (default: {default})"
        )

    add("--seeds", "N", "20", "how many worlds")
    parser.add_argument("--seed", metavar="N", help="this world alone")
    add("--jobs", "N", "1", "how many worlds at once, each in a process of its own")
    add("--hours", "HOURS", "1", "how long each world lasts")
    add("--engines", "N", "8", "engines in a world, all watched by one Serinus")
    add("--faults", "NAME,...", "all", "which faults there may be")
    parser.add_argument(
        "--ranks",
        action="store_true",
        help="the engines are the data-parallel ranks of one, and take turns",
    )
    parser.add_argument("--busy", action="store_true", help="there are always users")
    parser.add_argument(
        "--set",
        metavar="SETTING=VALUE",
        dest="changes",
        action="append",
        default=[],
        help="another value of a setting; may be given again",
    )
    parser.add_argument(
        "--judge",
        action="append",
        choices=JUDGES,
        help="this judge; may be given again (default: all of them)",
    )
    parser.add_argument("--trace", action="store_true", help="print the whole history")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Simulate, print, and say by the exit code whether all promises were kept."""
    seeds = _seeds(arguments)
    settings = _settings(arguments.changes)
    plan = Plan(
        seed=0,
        seconds=_number("--hours", arguments.hours, least=0.1, most=1000.0) * 3600,
        engines=int(_number("--engines", arguments.engines, least=1, most=1000, whole=True)),
        faults=faults_named(arguments.faults),
        busy=arguments.busy,
        ranks=arguments.ranks,
    )
    jobs = int(_number("--jobs", arguments.jobs, least=1, most=256, whole=True))
    names = [name for name in JUDGES if not arguments.judge or name in arguments.judge]
    scores = {name: Score(name) for name in names}
    problems: list[Broken] = []
    began = time.perf_counter()
    worlds = judge_worlds(plan, seeds, settings, names, trace=arguments.trace, jobs=jobs)
    _progress(0, len(seeds), scores, began)
    for done, world in enumerate(worlds, start=1):
        for name, score in world.scores.items():
            scores[name].join(score)
        problems += world.problems
        if not arguments.json:
            _print_histories(world.records)
        _progress(done, len(seeds), scores, began)
    if arguments.json:
        print(json.dumps(_as_json(scores, problems), indent=2))
    else:
        print(table(_rows(scores)))
    _complain(problems, arguments)
    return 1 if problems else 0


def _seeds(arguments: argparse.Namespace) -> Sequence[int]:
    if arguments.seed is not None:
        return (int(_number("--seed", arguments.seed, least=0, most=1e15, whole=True)),)
    return range(int(_number("--seeds", arguments.seeds, least=1, most=1e6, whole=True)))


def _number(flag: str, text: str, *, least: float, most: float, whole: bool = False) -> float:
    try:
        value = float(int(text)) if whole else float(text)
    except ValueError:
        value = inf
    if not least <= value <= most:
        kind = "a whole number" if whole else "a number"
        raise SettingsError(f"{flag} {text!r}: accepted: {kind} from {least:g} to {most:g}")
    return value


def _settings(changes: Sequence[str]) -> dict[str, Any]:
    """Read `--set`. The environment and files have no say, so that a seed means one history."""
    given: dict[str, object] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name not in TABLE:
            raise SettingsError(
                f"--set {change!r}: accepted: SETTING=VALUE, by the names of docs/settings.md"
            )
        given[name] = value
    loaded = load(flags={"health_check_enabled": "true", **given}, environ={}, reference_files=())
    names = {"health_check_enabled", *given}
    return {name: getattr(loaded.settings, name) for name in names}


def _progress(done: int, total: int, scores: dict[str, Score], began: float) -> None:
    if not sys.stderr.isatty():
        return
    hours = next(iter(scores.values())).hours
    seconds = time.perf_counter() - began
    pace = f", {60 * hours / seconds:,.0f} engine-hours a minute" if hours else ""
    end = "\n" if done == total else ""
    print(f"\r{done} of {total} worlds{pace}   ", end=end, file=sys.stderr, flush=True)


def _print_histories(records: Sequence[Record]) -> None:
    for record in records:
        print("\n".join(record.history or ()))


def _rows(scores: dict[str, Score]) -> list[list[str]]:
    rows = [["", *scores]]

    def add(name: str, *cells: str) -> None:
        rows.append([name, *cells])

    every = list(scores.values())
    add("engine-hours", *(f"{one.hours:,.0f}" for one in every))
    add("faults that stop tokens", *(str(len(one.stopped)) for one in every))
    add("  never seen", *(str(sum(map(isinf, one.stopped))) for one in every))
    for name, share in (("median", 0.5), ("p95", 0.95), ("worst", 1.0)):
        add(f"  seen after, {name}", *(_delay(percentile(one.stopped, share)) for one in every))
    for fault in sorted({fault for one in every for fault in one.delays}):
        mark = "" if fault in STOPS else " (not ready or degraded)"
        delays = [one.delays.get(fault, []) for one in every]
        add(f"    {fault}{mark}", *(_delay(percentile(delay, 0.5)) for delay in delays))
    add("false alarms", *(str(one.false_alarms) for one in every))
    add("flaps", *(str(one.flaps) for one in every))
    add("restarts of engines that were well", *(str(one.restarts) for one in every))
    add("canaries an hour", *(f"{one.canaries / one.hours:.0f}" for one in every))
    return rows


def _delay(seconds: float) -> str:
    if seconds != seconds:  # noqa: PLR0124 - not a number: there was none
        return "-"
    return "never" if isinf(seconds) else f"{seconds:.1f} s"


def _as_json(scores: dict[str, Score], problems: Sequence[Broken]) -> dict[str, object]:
    return {
        "judges": {name: _score_as_json(score) for name, score in scores.items()},
        "broken": [problem._asdict() for problem in problems],
    }


def _score_as_json(score: Score) -> dict[str, object]:
    def seconds(values: Sequence[float], share: float) -> float | None:
        found = percentile(values, share)
        return round(found, 3) if values and not isinf(found) else None

    return {
        "engine_hours": score.hours,
        "faults": len(score.stopped),
        "never_seen": sum(map(isinf, score.stopped)),
        "median_seconds": seconds(score.stopped, 0.5),
        "p95_seconds": seconds(score.stopped, 0.95),
        "worst_seconds": seconds(score.stopped, 1.0),
        "by_fault": {
            str(fault): {
                "count": len(delays),
                "never_seen": sum(map(isinf, delays)),
                "median_seconds": seconds(delays, 0.5),
            }
            for fault, delays in sorted(score.delays.items())
        },
        "false_alarms": score.false_alarms,
        "flaps": score.flaps,
        "restarts": score.restarts,
        "canaries": score.canaries,
    }


def _complain(problems: Sequence[Broken], arguments: argparse.Namespace) -> None:
    for problem in problems[:_MOST_SHOWN]:
        words = ["serinus simulate", f"--seed {problem.seed}", f"--hours {arguments.hours}"]
        words += [f"--engines {arguments.engines}", f"--faults {arguments.faults}"]
        words += ["--busy"] * arguments.busy + ["--ranks"] * arguments.ranks
        words += [f"--set {one}" for one in arguments.changes]
        print(f"broken: engine {problem.engine}: {problem.problem}", file=sys.stderr)
        print(f"  replay: {' '.join([*words, '--trace'])}", file=sys.stderr)
    if len(problems) > _MOST_SHOWN:
        print(f"and {len(problems) - _MOST_SHOWN} more", file=sys.stderr)
