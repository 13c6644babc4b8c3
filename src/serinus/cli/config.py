"""`serinus config`: show the settings and where each came from, check them, print their page."""

from __future__ import annotations

import argparse
import json
import sys

from serinus.cli.flags import add_setting_flags, loaded
from serinus.errors import SettingsError, excerpt
from serinus.payloads import read_override
from serinus.settings import TABLE, Loaded, Settings
from serinus.settings.document import page
from serinus.settings.loading import DEFAULT

__all__ = ["add_arguments", "run"]

EPILOG = """\
examples:
  serinus config show                 what somebody set, and where
  serinus config show --all --json    everything, for a program to read
  serinus config check --config serinus.toml
  serinus config docs > settings.md

exit codes: 0 the settings are fine · 2 they are not, and each mistake was listed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the three sub-verbs."""
    parser.epilog = EPILOG
    below = parser.add_subparsers(metavar="ACTION", title="actions", dest="action", required=True)
    show = below.add_parser(
        "show",
        help="print each setting's value and where it came from",
        usage="%(prog)s [--json] [--all] [--config FILE] [--SETTING VALUE ...]",
        description="Print each setting's value and where it came from. Secrets are not printed.",
        allow_abbrev=False,
    )
    show.add_argument("--json", action="store_true", help="print JSON")
    show.add_argument("--all", action="store_true", help="also those that nobody set")
    add_setting_flags(show)
    check = below.add_parser(
        "check",
        help="say whether the settings are accepted",
        usage="%(prog)s [--config FILE] [--SETTING VALUE ...]",
        description="Say whether the settings are accepted, and the payload that they name: "
        "exit code 0 if so, 2 if not.",
        allow_abbrev=False,
    )
    add_setting_flags(check)
    below.add_parser(
        "docs",
        help="print the reference page of the settings, in Markdown",
        description="Print the reference page of the settings, in Markdown.",
        allow_abbrev=False,
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what the sub-verb says."""
    if arguments.action == "docs":
        print(page(), end="")
        return 0
    result = loaded(arguments)
    if arguments.action == "check":
        _check_payload(result.settings)
        print(f"The settings are fine. {_counted(result)}")
    elif arguments.json:
        print(as_json(result, everything=arguments.all))
    else:
        print(as_text(result, everything=arguments.all))
    return 0


def _check_payload(settings: Settings) -> None:
    """Read the payload as a worker would at its start; SettingsError if it would not start."""
    if settings.health_check_payload is None:
        return
    try:
        read_override(settings.health_check_payload)
    except SettingsError as error:
        if not settings.lenient_payload:
            raise
        print(f"serinus: warning: {error}; the default payload is used", file=sys.stderr)


def as_text(result: Loaded, *, everything: bool) -> str:
    """The settings as aligned columns: name, value, origin."""
    rows = [
        (name, _shown(result, name), result.origins[name])
        for name in TABLE
        if everything or result.origins[name] != DEFAULT
    ]
    widths = [max((len(row[i]) for row in rows), default=0) for i in (0, 1)]
    lines = [f"{name:<{widths[0]}}  {value:<{widths[1]}}  {at}" for name, value, at in rows]
    if not everything:
        lines.append(f"{_counted(result)} The others have their defaults: --all shows them.")
    return "\n".join(lines)


def as_json(result: Loaded, *, everything: bool) -> str:
    """The settings as JSON: `{"settings": {name: {"value", "origin"}}, "warnings": […]}`."""
    settings = {
        name: {"value": _value(result, name), "origin": result.origins[name]}
        for name in TABLE
        if everything or result.origins[name] != DEFAULT
    }
    return json.dumps({"settings": settings, "warnings": result.warnings}, indent=2)


def _value(result: Loaded, name: str) -> object:
    value = getattr(result.settings, name)
    return TABLE[name].show(value) or None if TABLE[name].secret else value


def _shown(result: Loaded, name: str) -> str:
    return excerpt(TABLE[name].show(getattr(result.settings, name)), limit=60) or "(not set)"


def _counted(result: Loaded) -> str:
    number = sum(origin != DEFAULT for origin in result.origins.values())
    return f"{number} of {len(TABLE)} {'is' if number == 1 else 'are'} set."
