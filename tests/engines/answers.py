"""Answers to canaries: recorded from real servers, or in the shape their sources have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serinus.engines import Answer, Engine

__all__ = [
    "FIXTURES",
    "RECORDED",
    "TRANSFORMERS",
    "Recorded",
    "pieces",
    "read",
    "recorded",
    "recorded_page",
    "sse",
]

RECORDED = Path(__file__).parent.parent / "sim" / "fixtures" / "vllm-0.32"
FIXTURES = Path(__file__).parent / "fixtures"
TRANSFORMERS = FIXTURES / "transformers-5.19"
EVENTS = {"content-type": "text/event-stream; charset=utf-8"}


@dataclass(frozen=True)
class Recorded:
    """One exchange with a server. `request` is its JSON."""

    method: str
    path: str
    request: Any
    status: int
    headers: dict[str, str]
    body: bytes


def recorded(name: str, folder: Path = RECORDED) -> Recorded:
    """Return an exchange that was recorded from a real server: vLLM 0.32, or that of a folder."""
    exchange = json.loads((folder / f"{name}.json").read_text())
    asked = exchange["request"]
    return Recorded(
        asked["method"],
        asked["path"],
        asked["json"],
        exchange["status"],
        exchange["headers"],
        exchange["body"].encode(),
    )


def recorded_page(name: str) -> bytes:
    """Return a metrics page that was recorded from vLLM 0.32."""
    return (RECORDED / f"metrics-{name}.txt").read_bytes()


def sse(*items: object, done: bool = True) -> bytes:
    """Return an event stream of these items as JSON."""
    events = [f"data: {json.dumps(item)}\n\n" for item in items]
    return "".join([*events, "data: [DONE]\n\n"] if done else events).encode()


def pieces(body: bytes, size: int) -> list[bytes]:
    """Cut a body into pieces of a size."""
    return [body[start : start + size] for start in range(0, len(body), size)]


def read(
    engine: Engine,
    body: bytes,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    size: int = 1 << 20,
) -> Answer:
    """Let an engine's reader read a whole answer, in pieces of a size."""
    reader = engine.answer_reader()
    reader.start(status, EVENTS if headers is None else headers)
    for piece in pieces(body, size):
        reader.feed(piece)
    reader.end()
    return reader.answer
