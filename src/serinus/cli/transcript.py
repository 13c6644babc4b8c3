"""What happens, told to people: a line for each change, in colours on a terminal."""

from __future__ import annotations

import logging
import os
import textwrap
import time
from collections.abc import Callable
from typing import TextIO

from serinus.core.history import Transition

__all__ = ["Notes", "Transcript"]

_WIDTH = 100
_INDENT = 48
_COLOURS = {"good": "\x1b[32m", "bad": "\x1b[31m", "dim": "\x1b[2m"}
_PLAIN = "\x1b[0m"
_CODES = {"ready": "200", "live": "200", "notready": "503", "notlive": "503"}
_PATHS = {"readiness": "/health", "liveness": "/live"}
_WORDS = {"ready": "ready", "notready": "not ready"}


class Transcript:
    """Writes lines to `out`: the time of day, who, what, why. `wall` gives seconds since 1970."""

    def __init__(self, out: TextIO, *, wall: Callable[[], float] = time.time) -> None:
        self._out = out
        self._wall = wall
        self._coloured = out.isatty() and "NO_COLOR" not in os.environ

    def say(self, text: str = "") -> None:
        """Write text as it is."""
        print(text, file=self._out, flush=True)

    def changed(self, transition: Transition, *, name: str) -> None:
        """Tell of a change; `name` is what an endpoint is called."""
        good = transition.after in {"ready", "live"}
        path = _PATHS.get(transition.subject)
        if path is not None:
            self.line(path, _CODES[transition.after], "", transition.detail, good=good)
            return
        word = _WORDS[transition.after]
        self.line(name, word, transition.reason, transition.detail, good=good)

    def line(self, who: str, what: str, why: str, detail: str, *, good: bool | None = None) -> None:
        """Write one line, and more where the detail is long."""
        moment = time.strftime("%H:%M:%S", time.localtime(self._wall()))
        state = self._in(what.ljust(9), {None: "", True: "good", False: "bad"}[good])
        begin = f"{self._in(moment, 'dim')}  {who:<8}  {state}  "
        begin += f"{why:<15}  " if len(why) <= 15 else f"{why}\n{'':{_INDENT}}"
        told = textwrap.wrap(detail, _WIDTH - _INDENT) or [""]
        self.say((begin + f"\n{'':{_INDENT}}".join(told)).rstrip())

    def _in(self, text: str, colour: str) -> str:
        if not self._coloured or not colour:
            return text
        return f"{_COLOURS[colour]}{text}{_PLAIN}"


class Notes(logging.Handler):
    """Puts what is logged beside the changes into the transcript."""

    _CHANGES = frozenset({"board", "publisher"})
    """Modules that log changes, which the transcript has already."""

    def __init__(self, transcript: Transcript) -> None:
        super().__init__(logging.WARNING)
        self._transcript = transcript

    def emit(self, record: logging.LogRecord) -> None:
        """Write a warning, unless it tells of a change."""
        if record.module not in self._CHANGES:
            self._transcript.line("note", "", "", record.getMessage())
