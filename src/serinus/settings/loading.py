"""`load`: flags over environment over files over what a program takes over the defaults.

All problems are collected and raised as one error. Nothing is remembered: who loads twice reads
everything twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from serinus.errors import SettingsError, excerpt
from serinus.settings import files, secret, sources
from serinus.settings.conflicts import conflicts
from serinus.settings.declaration import Declaration
from serinus.settings.kinds import RefusedError
from serinus.settings.model import TABLE, Settings
from serinus.settings.strangers import ENABLED_VARIABLE, STARTUP_VARIABLES, strange_variables
from serinus.settings.wording import nearest, refused, together, unknown

if TYPE_CHECKING:
    from serinus.settings.sources import Written
    from serinus.settings.table import Setting

__all__ = ["DEFAULT", "Loaded", "load"]

DEFAULT = "default"
"""The origin of a setting that nobody set."""

INSTEAD = {"system_port": "system_socket", "system_socket": "system_port"}
"""What a program takes for the one gives way to what a person says of the other."""

SECRET_FILES = ("status_token_file", "api_key_file")


class Loaded(NamedTuple):
    """Settings, and where each came from: `origins` has a place for every field.

    A place reads `default`, `default of the program`, `file serinus.toml`,
    `environment DYN_SYSTEM_PORT` or `flag --port`. `warnings` are for the log, a sentence each.
    """

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...]


def load(
    *,
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    file: str | os.PathLike[str] | None = None,
    defaults: Mapping[str, object] | None = None,
    reference_files: Sequence[str] = files.REFERENCE,
) -> Loaded:
    """Settle every setting.

    `flags` are by field, None for not given; `environ` is the process's own if None; `file` goes
    before the variable `SERINUS_CONFIG`; `defaults`, by field, are what a program takes where
    nobody says anything. Raises SettingsError that lists every problem; its notes are warnings.
    """
    environ = os.environ if environ is None else environ
    flags, defaults = flags or {}, defaults or {}
    problems = [
        unknown(name, nearest(name, TABLE)) for name in (*flags, *defaults) if name not in TABLE
    ]
    ours, theirs = files.documents(file, environ, reference_files, problems)

    def said(row: Setting) -> Iterator[Written]:
        """What people wrote of a setting, the one that wins first."""
        yield from sources.from_flags(row, flags)
        yield from sources.from_environment(row, environ)
        yield from sources.from_file(row, ours)
        for document in theirs:
            yield from sources.from_reference(row, document)

    written = {name: first for name, row in TABLE.items() if (first := next(said(row), None))}
    for name, value in defaults.items():
        if name in TABLE and name not in written and INSTEAD.get(name) not in written:
            written[name] = sources.from_program(TABLE[name], value)

    try:
        settings = _settled(written, problems)
    except SettingsError as error:
        for warning in strange_variables(environ, TABLE):  # a misspelt name may be the reason
            error.add_note(warning)
        raise
    origins = {name: written[name].origin if name in written else DEFAULT for name in TABLE}
    warnings = (*strange_variables(environ, TABLE), *_ignored(environ, settings))
    return Loaded(settings, MappingProxyType(origins), warnings)


def _settled(written: Mapping[str, Written], problems: list[str]) -> Settings:
    """The settings that were written; SettingsError if there is any problem, old or new."""
    values: dict[str, Any] = {}
    wrong: set[str] = set()
    for name, found in written.items():
        try:
            values[name] = found.taken(TABLE[name])
            if name in SECRET_FILES:
                secret.in_file(str(values[name]))
        except RefusedError as error:
            wrong.add(name)
            problems.append(refused(TABLE[name], found.called, found.value, hint=str(error)))

    def called(name: str) -> str:
        return written[name].called if name in written else TABLE[name].variables[0]

    sound = {name: value for name, value in values.items() if name not in wrong}
    problems += [
        clash.said(called)
        for clash in conflicts(Declaration(**sound))
        if wrong.isdisjoint(clash.fields)
    ]
    if problems:
        raise SettingsError(together(problems))
    return Settings(**sound)


def _ignored(environ: Mapping[str, str], settings: Settings) -> Iterator[str]:
    """A warning for each variable of the reference that does nothing here."""
    for name in STARTUP_VARIABLES:
        if environ.get(name, "").strip():
            yield f"{name} is ignored: an engine may start for as long as the startup probe lets it"
    text = environ.get(ENABLED_VARIABLE, "").strip()
    if not text:
        return
    off = settings.system_port < 0 and settings.system_socket is None
    hint = "; no port is open: set DYN_SYSTEM_PORT" if off and text.lower() == "true" else ""
    yield f"{ENABLED_VARIABLE}: {excerpt(text, limit=40)} is ignored, as in the reference{hint}"
