"""Engines, as a sidecar sees them from outside: what to ask, and how to read what they say.

Sans-I/O: no client, no clock, no log. One module an engine; a new one is a new file and a line in
`ENGINES`.
"""

from __future__ import annotations

import difflib

from serinus.engines.counters import CounterNames, Counters, Samples, progress, read_counters
from serinus.engines.dynamo_frontend import DynamoFrontendEngine
from serinus.engines.dynamo_worker import DynamoWorkerEngine
from serinus.engines.llamacpp import LlamaCppEngine
from serinus.engines.ollama import OllamaEngine
from serinus.engines.openai import OpenAiEngine
from serinus.engines.protocol import Answer, AnswerReader, Blame, Engine, Failure, Question
from serinus.engines.refusals import refusal
from serinus.engines.sglang import SglangEngine
from serinus.engines.tgi import TgiEngine
from serinus.engines.traits import Abort, Lie, Pace, Traits
from serinus.engines.transformers import TransformersEngine
from serinus.engines.triton import TritonEngine
from serinus.engines.trtllm import TrtllmEngine
from serinus.engines.vllm import VllmEngine
from serinus.errors import SettingsError, excerpt

__all__ = [
    "ANY",
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
    "Pace",
    "Question",
    "Samples",
    "Traits",
    "engine_named",
    "progress",
    "read_counters",
    "refusal",
]

ANY = "openai"
"""The name of the engine that any server of OpenAI's API is."""
ENGINES: tuple[Engine, ...] = (
    VllmEngine(),
    SglangEngine(),
    TrtllmEngine(),
    LlamaCppEngine(),
    TgiEngine(),
    TritonEngine(),
    TransformersEngine(),
    OllamaEngine(),
    DynamoFrontendEngine(),
    DynamoWorkerEngine(),
    OpenAiEngine(),
)
"""Every engine there is, any other server of OpenAI's API at the end."""


def engine_named(name: str, *, also: tuple[str, ...] = ()) -> Engine:
    """Return the engine of that name, in any case.

    Raises SettingsError that lists them, and `also` words that the caller accepts.

    >>> engine_named("vLLM").name
    'vllm'
    """
    known = {engine.name: engine for engine in ENGINES}
    wanted = name.strip().lower()
    if wanted in known:
        return known[wanted]
    near = [one for one in known if wanted and one.startswith(wanted)]
    near = near or difflib.get_close_matches(wanted, known, n=1)
    raise SettingsError(
        f"engine: {excerpt(name, limit=80)!r} is not known; accepted: {', '.join((*also, *known))} "
        "(any server that speaks OpenAI's API)"
        + (f"; did you mean {' or '.join(near)}?" if near else "")
    )
