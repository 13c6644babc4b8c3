"""`serinus engines`: what is known of each kind of engine, for people, machines and the docs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from textwrap import wrap

from serinus.cli.tables import screen
from serinus.engines import ENGINES, Engine, engine_named
from serinus.engines.capabilities import DirectsToRanks, TellsRanks, TellsSleep, Transcribes

__all__ = ["add_arguments", "known", "run"]

EPILOG = """\
examples:
  serinus engines
      each engine: how it is asked, what moves when, what lies, how a request is given up
  serinus engines sglang --json
      the same of one, for machines

exit codes: 0 printed · 2 wrong command line, or no such engine
"""
_ABOUT = {
    "release": "known of",
    "asked": "asked by",
    "counted": "a token is counted by",
    "during": "moves in the middle of a request",
    "at_end": "moves only at its end",
    "pace": "time from token to token by",
    "work": "work in flight",
    "lies": "what lies",
    "health": "its own health",
    "health_seconds": "its health takes, by construction",
    "abort": "given up by",
    "metrics": "metrics page",
    "can": "can besides",
}
_PAGE = """\
# Engines

Written by `serinus engines --markdown` from what each engine's module says; `serinus engines NAME`
prints one of them, `--json` for machines. `serinus sidecar --engine NAME` takes these names, and
`auto` ([the sidecar](sidecar.md)). Each module in `src/serinus/engines/` says in which release its
names were read; "not run here" means that nothing was seen on a running one.

## How it is asked

{}
A canary is one token. Where there are several ways, the next one is for a server that lacks the
one before it. `dynamo-worker` cannot be asked for a token over HTTP: its own word is taken for an
answer, and proves no more than that.

## What moves when

{}
Progress is any of them; only silence of what moves in the middle of a request means that it stands
still. Where nothing does, the last question decides ([the sidecar](sidecar.md)). Of what moves only
at an end, finished requests are read for progress; tokens that are counted at an end are not.

## How quick it is under users' work

{}
The sidecar compares it with what it was at the same load ([degraded](degraded.md)). It is not known
where a page has it only of requests that have ended, or does not show that prompts were read.

## What its numbers mean, and which of them lie

{}
## Its own word, and how it gives up

{}
A probe's timeout has to be longer than its own health handler takes. A canary that is out of time
is given up by closing its connection.
"""
_TITLE = 36
"""Columns of a title."""
_CAPABILITIES: Mapping[str, type] = {
    "transcripts": Transcribes,
    "ranks": TellsRanks,
    "canaries by rank": DirectsToRanks,
    "sleep": TellsSleep,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the names, and the form."""
    parser.epilog = EPILOG
    parser.add_argument("names", metavar="NAME", nargs="*", help="which (default: all)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print docs/engines.md, of all")


def run(arguments: argparse.Namespace) -> int:
    """Print what is known."""
    engines = [engine_named(name) for name in arguments.names] or [*ENGINES]
    if arguments.markdown:
        print(_page(), end="")
    elif arguments.json:
        print(json.dumps({one.name: known(one) for one in engines}, indent=1, ensure_ascii=False))
    else:
        print("\n\n".join(_block(one, within=screen()) for one in engines))
    return 0


def known(engine: Engine) -> dict[str, object]:
    """Return what is known of an engine as plain values; seconds are numbers."""
    traits, names = engine.traits, engine.traits.names
    return {
        "release": traits.release,
        "proves": traits.proves,
        "asked": [
            *dict.fromkeys(f"{way.method} {way.path}" for way in engine.alternatives("MODEL"))
        ],
        "counted": traits.counted,
        "during": [*names.tokens, *names.steps],
        "at_end": [*names.finished, *names.ended, *traits.at_end],
        "pace": str(traits.pace),
        "work": traits.work,
        "gauges": [*names.running, *names.waiting],
        "lies": [str(lie) for lie in traits.lies],
        "health": f"{engine.health_path} ({_cost(engine)})",
        "health_seconds": traits.health_seconds,
        "abort": str(traits.abort),
        "metrics": _metrics(engine),
        "can": [word for word, what in _CAPABILITIES.items() if isinstance(engine, what)],
    }


def _page() -> str:
    rows = {one.name: known(one) for one in ENGINES}
    asking = {"engine": "", "asked": "asked by", "counted": "a token is", "release": "known of"}
    moving = {"engine": "", "during": _ABOUT["during"], "at_end": _ABOUT["at_end"]}
    pacing = {"engine": "", "pace": _ABOUT["pace"]}
    lying = {"engine": "", "work": _ABOUT["work"], "lies": _ABOUT["lies"]}
    rest = {
        "engine": "",
        "health": _ABOUT["health"],
        "health_seconds": "takes (s)",
        "abort": _ABOUT["abort"],
        "metrics": _ABOUT["metrics"],
        "can": _ABOUT["can"],
    }
    return _PAGE.format(
        *(
            _table(rows, columns | {"engine": "engine"})
            for columns in (asking, moving, pacing, lying, rest)
        )
    )


def _table(rows: Mapping[str, Mapping[str, object]], columns: Mapping[str, str]) -> str:
    lines = [f"| {' | '.join(columns.values())} |", "|---" * len(columns) + "|"]
    for name, row in rows.items():
        cells = [f"`{name}`" if key == "engine" else _cell(row[key]) for key in columns]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "<br>".join(one if " " in one else f"`{one}`" for one in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _block(engine: Engine, *, within: int | None) -> str:
    lines = [engine.name]
    for key, title in _ABOUT.items():
        value = known(engine)[key]
        if key == "health_seconds":
            value = f"{value:g} s"
        told = [str(one) for one in (value if isinstance(value, list) else [value])]
        lines += [
            f"  {title if not at else '':<{_TITLE - 2}}{one}"
            for at, one in enumerate(_wrapped(told or ["none"], within))
        ]
    return "\n".join(lines)


def _wrapped(told: Sequence[str], within: int | None) -> list[str]:
    """Break what is too long for the terminal, at spaces."""
    if within is None:
        return [*told]
    width = max(within - _TITLE, _TITLE)
    return [line for one in told for line in wrap(one, width, subsequent_indent="  ")]


def _cost(engine: Engine) -> str:
    if engine.traits.health_generates:
        return "it generates: asked only in doubt"
    return "free" if engine.health_is_free else "asked only in doubt"


def _metrics(engine: Engine) -> str:
    if engine.metrics_path is None:
        return "none"
    port = "" if engine.metrics_port is None else f" on port {engine.metrics_port}"
    return f"{engine.metrics_path}{port}"
