"""`serinus replay`: what other settings would have made of recorded evidence."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

from serinus.cli.tables import screen, table
from serinus.cli.traces import damage_in, read_traces
from serinus.errors import SettingsError, excerpt
from serinus.replay.comparing import Column, Judge, judged, replays
from serinus.replay.kubelet import Probe, Probes
from serinus.replay.outcome import Outcome
from serinus.replay.player import Case, case_of, own_word, recorded
from serinus.replay.shipped import shipped, shipped_file
from serinus.replay.truth import Source
from serinus.replay.variants import read_variant
from serinus.settings.kinds import RefusedError, Seconds, Whole
from serinus.traces.values import Item

__all__ = [
    "about",
    "add_arguments",
    "add_traces",
    "cases_of",
    "column_as_json",
    "finite",
    "rows",
    "run",
    "seconds",
]

EPILOG = """\
examples:
  serinus replay engine.trace
      what was seen then, and what the same settings make of it in the model: they should agree
  serinus replay engine.trace --set wait=2 --set wait=2,deadline=1 --probe failures=1
      two other settings beside them, and what Kubernetes would have done with such probes
  serinus replay --shipped
      the same for faults of real engines that come with Serinus; their names: --list

An engine is concluded from the trace where it was not asked then (docs/traces.md: what a replay can
know). Times of faults come from marks, 'fault: NAME begins' and 'fault: NAME ends', or else from
what the recorded judge concluded.

exit codes: 0 done · 1 done, and a trace is damaged · 2 wrong command line, or no trace
"""
_PARTS = ("liveness", "readiness", "startup")
_SECONDS, _POSITIVE, _COUNT = Seconds(0), Seconds(0.001), Whole(1, 1000)
_PROBE_KEYS = {
    "period": _POSITIVE,
    "timeout": _POSITIVE,
    "failures": _COUNT,
    "successes": _COUNT,
    "delay": _SECONDS,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the traces, the settings and the probes."""
    parser.epilog = EPILOG
    add_traces(parser)
    parser.add_argument(
        "--set",
        metavar="RULE=VALUE,...",
        dest="variants",
        action="append",
        default=[],
        help="settings to try; may be given again, for a column each",
    )
    parser.add_argument(
        "--probe",
        metavar="[KIND:]KEY=N,...",
        action="append",
        default=[],
        help="the kubelet's numbers: period, timeout, failures, successes, delay (default: "
        "Kubernetes' own, 10,1,3,1,0); KIND is liveness, readiness or startup (which there is "
        "only if it is given; it asks /health), and without it the first two are meant",
    )


def add_traces(parser: argparse.ArgumentParser) -> None:
    """Add what `cases_of` reads."""
    parser.add_argument(
        "files", metavar="FILE", nargs="*", help="a trace, or the name of one below"
    )
    parser.add_argument(
        "--shipped", action="store_true", help="add all the traces that come with Serinus"
    )
    parser.add_argument(
        "--list", action="store_true", help="name the traces that come with Serinus, and end"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the canaries' jitter (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Replay, and print what came of it."""
    if arguments.list:
        print("\n".join(shipped()))
        return 0
    variants = [read_variant(text) for text in arguments.variants]
    probes = read_probes(arguments.probe)
    cases, damaged = cases_of(arguments)
    seed = arguments.seed
    judges: dict[str, Judge] = {}
    if all(own_word(case) is not None for case in cases):
        judges["own health"] = _heard
    judges["recorded"] = lambda case: (recorded(case),)
    judges["replayed"] = partial(replays, seed=seed)
    judges |= {one.name: partial(replays, rules=one.change, seed=seed) for one in variants}
    columns = [judged(name, cases, judge, probes) for name, judge in judges.items()]
    if arguments.json:
        print(json.dumps(_as_json(cases, columns), indent=2, ensure_ascii=False))
    else:
        print(_report(cases, columns))
    return 1 if damaged else 0


def _heard(case: Case) -> tuple[Outcome, ...]:
    """What a poll of the engine's own health would have said."""
    outcome = own_word(case)
    return () if outcome is None else (outcome,)


def cases_of(arguments: argparse.Namespace) -> tuple[list[Case], bool]:
    """Read the traces that were named; say whether one of them is damaged."""
    files = [*arguments.files, *(shipped() if arguments.shipped else ())]
    damaged = False
    cases = []
    for name in files:
        path = name if Path(name).exists() else shipped_file(name) or name
        [trace] = read_traces([str(path)])
        damaged |= damage_in(name, trace)
        cases.append(case_of(trace, name=Path(name).name))
    if not cases:
        raise SettingsError(
            "no trace is named; accepted: the path of a recording, or --shipped for those that "
            "come with Serinus"
        )
    return cases, damaged


def read_probes(texts: Sequence[str]) -> Probes:
    """Read `--probe`. Raises SettingsError."""
    probes: dict[str, Probe] = {"liveness": Probe(), "readiness": Probe()}
    for text in texts:
        kind, colon, numbers = text.partition(":")
        kinds = (kind.strip(),) if colon else ("liveness", "readiness")
        if colon and kind.strip() not in _PARTS:
            raise _wrong_probe(text)
        for one in kinds:
            probes[one] = _probe(probes.get(one, Probe()), numbers if colon else text, text)
    return Probes(**probes)


def _probe(probe: Probe, numbers: str, text: str) -> Probe:
    for part in numbers.split(","):
        key, _, value = part.strip().partition("=")
        kind = _PROBE_KEYS.get(key)
        if kind is None:
            raise _wrong_probe(text)
        try:
            probe = Probe(**{**probe._asdict(), key: kind.read(value.strip())})
        except RefusedError:
            raise SettingsError(
                f"--probe '{excerpt(text, limit=80)}': {key}: accepted: {kind.accepted}"
            ) from None
    return probe


def _wrong_probe(text: str) -> SettingsError:
    return SettingsError(
        f"--probe '{excerpt(text, limit=80)}': accepted: KEY=NUMBER,... with the keys "
        f"{', '.join(_PROBE_KEYS)}, after 'liveness:', 'readiness:' or 'startup:' if one is meant"
    )


# --- what is printed -----------------------------------------------------------------------------


def _report(cases: Sequence[Case], columns: Sequence[Column]) -> str:
    return "\n\n".join(
        part
        for part in (
            f"{about(cases)}",
            table(rows(columns), within=screen()),
            _by_fault(cases, columns),
        )
        if part
    )


def about(cases: Sequence[Case]) -> str:
    """Say what is replayed."""
    faults = [fault for case in cases for fault in case.faults]
    sources = [
        f"{sum(fault.source is source for fault in faults)} by {source}"
        for source in Source
        if any(fault.source is source for fault in faults)
    ]
    hours = sum(case.until for case in cases) / 3600
    told = f"{len(cases)} trace(s), {hours:.2f} h, {len(faults)} fault(s)"
    return f"{told}: {', '.join(sources)}" if sources else told


def rows(columns: Sequence[Column]) -> list[list[str]]:
    """Put judges beside each other, a row for each thing that matters."""
    return [
        ["", *(one.name for one in columns)],
        ["faults seen", *(f"{_count(one.seen)} of {one.faults}" for one in columns)],
        ["detection, median", *(seconds(one.median) for one in columns)],
        ["detection, worst", *(seconds(one.worst) for one in columns)],
        [
            "ready again, median",
            *(seconds(median(one.recoveries) if one.recoveries else None) for one in columns),
        ],
        ["false alarms", *(_count(one.false_alarms) for one in columns)],
        ["flaps", *(_count(one.flaps) for one in columns)],
        ["canaries", *(_count(one.canaries) for one in columns)],
        ["canaries an hour", *(f"{one.canaries_per_hour:.0f}" for one in columns)],
        ["restarts by Kubernetes", *(_count(one.restarts) for one in columns)],
        ["taken out of service", *(_count(one.withdrawals) for one in columns)],
    ]


def seconds(value: float | None) -> str:
    """Write a delay: `never` for infinity, `-` where there is none."""
    if value is None:
        return "-"
    return f"{value:.1f} s" if math.isfinite(value) else "never"


def _count(value: float) -> str:
    """Write a count; of several runs it is the mean."""
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


def _by_fault(cases: Sequence[Case], columns: Sequence[Column]) -> str:
    found = [["trace", "fault", "at", "lasted", *(one.name for one in columns)]]
    for number, case in enumerate(cases):
        for which, fault in enumerate(case.faults):
            delays = [one.delay(number, which) for one in columns]
            lasted = seconds(fault.end - fault.begin) if math.isfinite(fault.end) else "on"
            told = [seconds(delay) for delay in delays]
            found.append([case.name, fault.what, f"{fault.begin:.1f} s", lasted, *told])
    heading = "seen after, at the latest\n"
    return heading + table(found, left=2, within=screen()) if len(found) > 1 else ""


def _as_json(cases: Sequence[Case], columns: Sequence[Column]) -> Item:
    return {
        "traces": [
            {
                "name": case.name,
                "seconds": case.until,
                "faults": [
                    {
                        "fault": fault.what,
                        "begin": fault.begin,
                        "end": finite(fault.end),
                        "source": str(fault.source),
                    }
                    for fault in case.faults
                ],
            }
            for case in cases
        ],
        "judges": [column_as_json(one) for one in columns],
    }


def column_as_json(column: Column) -> dict[str, Item]:
    """Shape a judge's part for JSON: means over its runs; what never happened is null."""
    return {
        "name": column.name,
        "runs": column.runs,
        "faults": column.faults,
        "seen": column.seen,
        "detection_median_seconds": finite(column.median),
        "detection_worst_seconds": finite(column.worst),
        "false_alarms": column.false_alarms,
        "flaps": column.flaps,
        "canaries": column.canaries,
        "canaries_per_hour": round(column.canaries_per_hour, 3),
        "restarts": column.restarts,
        "withdrawals": column.withdrawals,
        "traces": [
            [
                {
                    "detections": [
                        {"delay_seconds": one.delay, "recovery_seconds": one.recovery}
                        for one in run.score.detections
                    ],
                    "false_alarms": [
                        {"at": turn.at, "target": turn.target, "reason": str(turn.reason)}
                        for turn in run.score.false_alarms
                    ],
                    "restarts": list(run.kubernetes.restarts),
                }
                for run in case
            ]
            for case in column.cases
        ],
    }


def finite(value: float | None) -> float | None:
    """Return a number that JSON has, or nothing."""
    return value if value is not None and math.isfinite(value) else None
