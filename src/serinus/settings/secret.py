"""Secrets: in a setting, or in a file that the setting names. They appear in no message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serinus.errors import SettingsError
from serinus.settings.content import content_of
from serinus.settings.kinds import RefusedError
from serinus.settings.words import SECRET

if TYPE_CHECKING:
    from serinus.settings.model import Settings

__all__ = ["api_key", "status_token"]

SECRET_BYTES = 1 << 16


def status_token(settings: Settings) -> str | None:
    """The token for details, read from its file now if it is in one; None if there is none.

    Raises SettingsError if the file cannot be read or has no secret in it.
    """
    return settings.status_token or _from(settings.status_token_file, "status_token_file")


def api_key(settings: Settings) -> str | None:
    """The engine's API key, read from its file now if it is in one; None if there is none.

    Raises SettingsError if the file cannot be read or has no secret in it.
    """
    return settings.api_key or _from(settings.api_key_file, "api_key_file")


def _from(path: str | None, called: str) -> str | None:
    if path is None:
        return None
    try:
        return in_file(path)
    except RefusedError as error:
        raise SettingsError(f"{called}: {path!r} is not accepted; {error}") from None


def in_file(path: str) -> str:
    """The secret in a file, without the white space around it; RefusedError, which never has it."""
    content = content_of(path, limit=SECRET_BYTES)
    try:
        return SECRET.read(content.decode("ascii").strip())
    except ValueError:
        raise RefusedError(f"its content (not shown) must be {SECRET.accepted}") from None
