"""The API key for the engines: where it is read, and that nobody else reads it."""

from __future__ import annotations

import logging

from serinus.errors import SettingsError
from serinus.settings import Settings, api_key

__all__ = ["Credentials"]

logger = logging.getLogger("serinus")


class Credentials:
    """The key, and its file read again when the engine no longer takes it.

    Raises SettingsError if the file cannot be read at the start; later it keeps the key it has.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._key = api_key(settings)

    def __repr__(self) -> str:
        return f"<credentials: {'a key' if self._key else 'no key'}>"

    def key(self) -> str | None:
        """Return the key; None if there is none."""
        return self._key

    def renew(self) -> bool:
        """Read the file again, if the key is in one; say whether there is another key now."""
        before = self._key
        try:
            self._key = api_key(self._settings)
        except SettingsError as error:
            logger.warning("the API key was refused, and cannot be read again: %s", error)
        return self._key != before
