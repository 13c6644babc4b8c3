"""TOML files with settings: our own, with one key a setting, and the reference's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from serinus.settings.content import content_of
from serinus.settings.kinds import RefusedError
from serinus.settings.model import TABLE
from serinus.settings.strangers import CONFIG_VARIABLE
from serinus.settings.wording import nearest, unknown

__all__ = ["REFERENCE", "Document", "documents"]

REFERENCE = (
    "/opt/dynamo/etc/runtime.toml",
    "/opt/dynamo/defaults/runtime.toml",
)
"""The reference's files, the one that wins first."""

FILE_BYTES = 1 << 20
"""A settings file larger than this is some other file."""


class Document(NamedTuple):
    """What stands in a file, and what the file is called."""

    name: str
    content: Mapping[str, object]


def documents(
    file: str | os.PathLike[str] | None,
    environ: Mapping[str, str],
    reference_files: Sequence[str],
    problems: list[str],
) -> tuple[Document, tuple[Document, ...]]:
    """Our file, empty if there is none, and those of the reference that exist.

    Adds to `problems` what cannot be read, and every key in our file that is no setting.
    """
    ours = Document("", {})
    named = os.fspath(file) if file is not None else environ.get(CONFIG_VARIABLE, "").strip()
    if named:
        ours = _document(named, "--config" if file is not None else CONFIG_VARIABLE, problems)
        problems += [
            unknown(f"{key} in {ours.name}", nearest(key, TABLE))
            for key in ours.content
            if key not in TABLE
        ]
    theirs = (
        _document(path, "file", problems) for path in reference_files if os.access(path, os.F_OK)
    )
    return ours, tuple(theirs)


def _document(name: str, called: str, problems: list[str]) -> Document:
    try:
        return Document(name, _parsed(name))
    except RefusedError as error:
        problems.append(f"{called}: {name!r} is not accepted; accepted: a TOML file ({error})")
        return Document(name, {})


def _parsed(path: str) -> dict[str, object]:
    """The document in a TOML file; RefusedError with a hint if it cannot be read."""
    import tomllib  # noqa: PLC0415 - most workers have no file, and importing must be quick

    content = content_of(path, limit=FILE_BYTES)
    try:
        return tomllib.loads(content.decode())
    except ValueError as error:
        raise RefusedError(f"it is not TOML: {error}") from error
