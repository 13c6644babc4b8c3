"""Engines, as a sidecar sees them from outside: what to ask, and how to read what they say.

Sans-I/O: no client, no clock, no log. One module an engine; a new one is a new file and a line in
`ENGINES`.
"""

from __future__ import annotations

import difflib

from serinus.engines.counters import CounterNames, Counters, Samples, progress, read_counters
from serinus.engines.openai import OpenAiEngine
from serinus.engines.protocol import Answer, AnswerReader, Blame, Engine, Failure, Question
from serinus.engines.refusals import refusal
from serinus.engines.traits import Abort, Lie, Traits
from serinus.engines.vllm import VllmEngine
from serinus.errors import SettingsError, excerpt

__all__ = [
    "ENGINES",
    "Abort",
    "Answer",
    "AnswerReader",
    "Blame",
    "CounterNames",
    "Counters",
    "Engine",
    "Failure",
    "Lie",
    "Question",
    "Samples",
    "Traits",
    "engine_named",
    "progress",
    "read_counters",
    "refusal",
]

ENGINES: tuple[Engine, ...] = (VllmEngine(), OpenAiEngine())
"""Every engine there is."""


def engine_named(name: str) -> Engine:
    """Return the engine of that name, in any case.

    >>> engine_named("vLLM").name
    'vllm'
    >>> engine_named("vlm")
    Traceback (most recent call last):
    serinus.errors.SettingsError: engine: 'vlm' is not known; accepted: vllm, openai (any server \
that speaks OpenAI's API); did you mean vllm?
    """
    known = {engine.name: engine for engine in ENGINES}
    wanted = name.strip().lower()
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(wanted, known, n=1)
    raise SettingsError(
        f"engine: {excerpt(name, limit=80)!r} is not known; accepted: {', '.join(known)} "
        "(any server that speaks OpenAI's API)" + (f"; did you mean {near[0]}?" if near else "")
    )
