"""What is in the way of an engine that is not there yet, said once for each time that it changes.

A closed port is what every starting engine has; a name that does not resolve, a certificate that
nobody trusts or a list of models behind a key would look the same, and wait for ever.
"""

from __future__ import annotations

import logging

from serinus.sidecar.contact import ContactError, Trouble
from serinus.sidecar.place import Place

__all__ = ["Hindrance"]

logger = logging.getLogger("serinus")


class Hindrance:
    """Tells the log what is in the way of the engine at a place."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._said = ""

    def is_trouble(self, error: ContactError) -> None:
        """Say why there was no whole answer, if it is not just the port of one that starts."""
        if error.trouble not in {Trouble.REFUSED, Trouble.OURS}:
            self.is_that(error.detail)

    def is_that(self, words: str) -> None:
        """Say it, if it was not said last."""
        if words != self._said:
            self._said = words
            logger.warning("%s: %s", self._place, words)

    def is_gone(self) -> None:
        """Say it again when it comes back."""
        self._said = ""
