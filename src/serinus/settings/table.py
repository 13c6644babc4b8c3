"""The table of settings: what each is called, takes and means, one row a setting.

A row stands where its field is declared (`declaration.py`), so that a default, a type and a
sentence cannot drift apart. This module has the shape of a row and how rows are collected.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from serinus.settings.kinds import Kind

__all__ = ["Group", "Setting", "rows_of", "setting"]


class Group(StrEnum):
    """What a setting is about; the reference page has a section for each."""

    PORT = "The status port"
    READINESS = "Readiness"
    CANARIES = "Canaries"
    LEARNING = "Deadlines that follow the machine"
    CORRECTNESS = "Wrong output"
    LIVENESS = "Liveness"
    ENGINE = "The engine's own health"
    DRAINING = "Draining and pauses"
    LIMITS = "Limits of the status process"
    DETAILS = "Who may see details"
    SIDECAR = "The sidecar"
    ASGI = "Inside an ASGI app"
    RECORDING = "Recording"
    DISCOVERY = "Discovery"
    FRONTEND = "The frontend"
    PLANE = "The request plane"


class Setting(NamedTuple):
    """One row: a setting and everything that is said about it.

    `variables` are the names in the environment, the first wins. `reference` are the keys in the
    reference's own files. `flag` is None where a flag would show a secret in the process list.
    """

    name: str
    kind: Kind
    default: object
    group: Group
    meaning: str
    variables: tuple[str, ...]
    reference: tuple[str, ...]
    flag: str | None
    secret: bool

    def show(self, value: object) -> str:
        """Write a value for people; of a secret only whether it is set."""
        if self.secret:
            return "" if value is None else "(set)"
        return self.kind.show(value)


def setting(
    default: Any,
    kind: Kind,
    group: Group,
    meaning: str,
    *,
    env: tuple[str, ...] = (),
    reference: tuple[str, ...] = (),
    flag: str | None = "",
    secret: bool = False,
) -> Any:
    """Declare a field of the settings with its row.

    Without `env` the variable is `SERINUS_<FIELD>`; without `flag` it is the field with dashes.
    `reference` are the names of the field in the reference: each is a key in its files and a
    variable `DYN_RUNTIME_<NAME>`, which gives way to those in `env`.
    """
    row = {"kind": kind, "group": group, "meaning": meaning, "env": env}
    row |= {"reference": reference, "flag": flag, "secret": secret}
    return dataclasses.field(default=default, repr=not secret, metadata={"setting": row})


def rows_of(declaration: type) -> dict[str, Setting]:
    """Collect the rows of a declaration, by field, in order."""
    return {
        field.name: _row(field.name, field.default, field.metadata["setting"])
        for field in dataclasses.fields(declaration)
    }


def _row(name: str, default: object, said: Mapping[str, Any]) -> Setting:
    own = said["env"] or (f"SERINUS_{name.upper()}",)
    inherited = tuple(f"DYN_RUNTIME_{key.upper()}" for key in said["reference"])
    flag = f"--{name.replace('_', '-')}" if said["flag"] == "" else said["flag"]
    return Setting(
        name=name,
        kind=said["kind"],
        default=default,
        group=said["group"],
        meaning=said["meaning"],
        variables=(*own, *inherited),
        reference=said["reference"],
        flag=None if said["secret"] else flag,
        secret=said["secret"],
    )
