"""Settings as flags: made from the table, collected for `load`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping

from serinus.settings import TABLE, Loaded, load
from serinus.settings.kinds import Truth, Word
from serinus.settings.table import Group, Setting

__all__ = ["add_setting_flags", "loaded"]

PREFIX = "setting."
"""Before the field's name in the parsed arguments, so that no argument of a verb has its name."""


def add_setting_flags(
    parser: argparse.ArgumentParser,
    *,
    groups: Iterable[Group] = tuple(Group),
    omit: Iterable[str] = (),
    defaults: Mapping[str, object] | None = None,
) -> None:
    """Add `--config` and the flag of every setting in `groups`, save the fields in `omit`.

    `defaults` are what the program takes by itself, by field, as later given to `loaded`.
    """
    parser.add_argument(
        "--config",
        metavar="FILE",
        dest=f"{PREFIX}file",
        help="a TOML file with settings [SERINUS_CONFIG]",
    )
    omitted = frozenset(omit)
    for group in groups:
        section = parser.add_argument_group(group.value)
        for row in TABLE.values():
            if row.group is group and row.flag and row.name not in omitted:
                default = (defaults or {}).get(row.name, row.default)
                _add(section, row, row.flag, row.show(default))


def loaded(
    arguments: argparse.Namespace, *, defaults: Mapping[str, object] | None = None
) -> Loaded:
    """Settle the settings, the flags among `arguments` included; warn on the standard error.

    Raises SettingsError that lists every problem.
    """
    given = {
        name.removeprefix(PREFIX): value
        for name, value in vars(arguments).items()
        if name.startswith(PREFIX)
    }
    result = load(file=given.pop("file", None), flags=given, defaults=defaults)
    for warning in result.warnings:
        print(f"serinus: warning: {warning}", file=sys.stderr)
    return result


def _add(section: argparse._ArgumentGroup, row: Setting, flag: str, default: str) -> None:
    """Add one flag; its value stays text, so that `load` can complain about all of them."""
    meaning = f"{row.meaning} [{row.variables[0]}]"
    if default:
        meaning += f" (default: {default})"
    help_text = meaning.replace("%", "%%")
    dest = f"{PREFIX}{row.name}"
    if isinstance(row.kind, Truth):
        section.add_argument(
            flag, dest=dest, help=help_text, default=None, action=argparse.BooleanOptionalAction
        )
    else:
        shown = "|".join(row.kind.words) if isinstance(row.kind, Word) else row.kind.metavar
        section.add_argument(flag, dest=dest, help=help_text, default=None, metavar=shown)
