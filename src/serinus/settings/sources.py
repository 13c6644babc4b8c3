"""Where values come from: flags, the environment, files, a program. None is checked here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from serinus.settings.files import Document
    from serinus.settings.table import Setting

__all__ = [
    "Written",
    "from_environment",
    "from_file",
    "from_flags",
    "from_program",
    "from_reference",
]


class Written(NamedTuple):
    """A value as somebody wrote it.

    `called` is what an error names (`DYN_SYSTEM_PORT`, `--port`), `origin` is where it stood
    (`environment DYN_SYSTEM_PORT`, `flag --port`).
    """

    value: object
    called: str
    origin: str

    def taken(self, row: Setting) -> object:
        """The checked value; RefusedError if it is not accepted."""
        if isinstance(self.value, str):
            return row.kind.read(self.value.strip())
        return row.kind.take(self.value)


def from_flags(row: Setting, flags: Mapping[str, object]) -> Iterator[Written]:
    """The flag of a setting, if it was given; None is not given."""
    value = flags.get(row.name)
    if value is not None:
        flag = row.flag or row.name
        called = f"--no-{flag.removeprefix('--')}" if value is False else flag
        yield Written(value, called, f"flag {called}")


def from_environment(row: Setting, environ: Mapping[str, str]) -> Iterator[Written]:
    """The variables of a setting that are set, the one that wins first. Empty is not set."""
    for name in row.variables:
        text = environ.get(name, "").strip()
        if text:
            yield Written(text, name, f"environment {name}")


def from_file(row: Setting, document: Document) -> Iterator[Written]:
    """The key of a setting in our own file."""
    if row.name in document.content:
        called = f"{row.name} in {document.name}"
        yield Written(document.content[row.name], called, f"file {document.name}")


def from_reference(row: Setting, document: Document) -> Iterator[Written]:
    """The keys of a setting in a file of the reference, which calls some by other names."""
    for key in row.reference:
        if key in document.content:
            called = f"{key} in {document.name}"
            yield Written(document.content[key], called, f"file {document.name}")


def from_program(row: Setting, value: object) -> Written:
    """What a program takes where nobody says anything."""
    origin = "default of the program"
    return Written(value, f"{row.name} ({origin})", origin)
