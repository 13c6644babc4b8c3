"""Where a program's log goes: the standard error, a line an event, with the time in UTC."""

from __future__ import annotations

import copy
import logging
import time

__all__ = ["log_to_stderr"]


class _Line(logging.Formatter):
    """`2026-01-31 12:00:00.123Z warning the text`."""

    default_time_format = "%Y-%m-%d %H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Write the level in small letters."""
        told = copy.copy(record)  # other handlers have it too
        told.levelname = record.levelname.lower()
        return super().format(told)


def log_to_stderr() -> None:
    """Write what Serinus logs, from "info" on; other libraries' warnings too."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Line())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("serinus").setLevel(logging.INFO)
