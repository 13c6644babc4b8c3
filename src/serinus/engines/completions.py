"""Completions over HTTP: how one token is asked for, and an answer's reader.

The answer to a streamed question is an event stream that ends with `[DONE]`, or at least with a
finish reason. A server that answers with one JSON document, or a line of JSON for each chunk
(Ollama), has answered too. What a chunk brings is read by a function of the engine's.

How tokens are counted: by `usage` or `token_ids` where the engine gives one of them and it is not
zero; else one for every chunk with output; else, where an end was reached that takes a token
(`length`, `stop`, `eos`, `tool_calls`) and the engine counted nothing, one. So a token whose text
is empty counts, and the first chunk of a chat, which has only a role, does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import cache
from importlib import metadata
from typing import Any

from serinus.core.evidence import CanaryFault
from serinus.engines.chunks import Chunk, read_chunk
from serinus.engines.foreign import quoted
from serinus.engines.protocol import Answer, Blame, Failure, Question
from serinus.engines.refusals import MAX_REFUSAL_BYTES, blame_for, error_text, refusal
from serinus.engines.sse import SseEvent, SseReader
from serinus.errors import LifecycleError

__all__ = ["CANARY_HEADER", "CompletionReader", "question"]

CANARY_HEADER = "x-serinus-canary"
"""Tells proxies, logs and metrics that a request is a canary; its value is "1"."""

_DONE = "[DONE]"
_TOKEN_ENDS = frozenset({"length", "stop", "eos", "eos_token", "tool_calls"})
_MAX_DOCUMENT_BYTES = 1 << 20


def question(path: str, body: Mapping[str, Any]) -> Question:
    """Return a POST of a JSON body that says that it is a canary."""
    return Question(
        method="POST",
        path=path,
        headers=(
            ("content-type", "application/json"),
            ("accept", "text/event-stream, application/json"),
            ("user-agent", f"serinus-canary/{_version()}"),
            (CANARY_HEADER, "1"),
        ),
        body=json.dumps(body, separators=(",", ":")).encode(),
    )


class _Mode(Enum):
    """How a body is read."""

    EVENTS = auto()
    LINES = auto()
    DOCUMENT = auto()
    REFUSAL = auto()
    FOREIGN = auto()


class CompletionReader:
    """Reads one answer to a question for a completion; see AnswerReader.

    `read` says what an item brings, None for one of another shape. `end_is_told`: a stream that
    ends without saying so has broken off; some servers never say it.
    """

    def __init__(
        self,
        read: Callable[[object], Chunk | None] = read_chunk,
        *,
        end_is_told: bool = True,
    ) -> None:
        self._read = read
        self._end_is_told = end_is_told
        self._events = SseReader()
        self._mode: _Mode | None = None
        self._status = 0
        self._type = ""
        self._body = bytearray()
        self._items = 0
        self._ids: int | None = None
        self._usage: int | None = None
        self._outputs = 0
        self._finish: str | None = None
        self._finished = False
        self._failure: Failure | None = None

    @property
    def answer(self) -> Answer:
        """What is known up to now; final once it is finished."""
        return Answer(self._items, self._tokens(), self._finished, self._failure)

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the head of the answer."""
        types = [value for name, value in headers.items() if name.lower() == "content-type"]
        self._type = types[0].partition(";")[0].strip().lower() if types else ""
        self._status = status
        self._mode = _mode(status, self._type)

    def feed(self, data: bytes) -> None:
        """Take a piece of the body."""
        if self._mode is None:
            raise LifecycleError("feed() before start(): an answer begins with its head")
        if self._finished:
            return
        if self._mode is _Mode.EVENTS:
            self._take_events(self._events.feed(data))
            if self._events.overflowed:
                self._fail(CanaryFault.WRONG_SHAPE, "an event of the stream is too large")
            return
        self._body += data
        if self._mode is _Mode.LINES:
            self._take_lines()
        if len(self._body) > self._room():
            self.end()

    def end(self) -> None:
        """Take the end of the body, after which the answer is finished."""
        if self._mode is _Mode.EVENTS and not self._finished:
            self._take_events(self._events.end())
        if self._mode is _Mode.LINES and self._body.strip():
            self._take_line(bytes(self._body))
        if self._finished:
            return
        match self._mode:
            case _Mode.REFUSAL:
                self._failure = refusal(self._status, bytes(self._body))
                self._finished = True
            case _Mode.FOREIGN:
                self._fail(
                    CanaryFault.WRONG_SHAPE,
                    f"{quoted(self._type)} in place of an event stream: {self._beginning()}",
                )
            case _Mode.DOCUMENT:
                self._take_document()
            case _:
                self._conclude(cut=True)

    def _take_events(self, events: list[SseEvent]) -> None:
        for event in events:
            if self._finished:
                return
            if event.data.strip() == _DONE:
                self._conclude(cut=False)
            else:
                self._take_json(event.data, error=event.name == "error")

    def _take_lines(self) -> None:
        *lines, rest = self._body.split(b"\n")
        self._body = bytearray(rest)
        for line in lines:
            if line.strip() and not self._finished:
                self._take_line(bytes(line))

    def _take_line(self, line: bytes) -> None:
        self._take_json(line.decode(errors="replace"), error=False)
        if self._finish is not None and not self._finished:
            self._conclude(cut=False)

    def _take_document(self) -> None:
        if len(self._body) > _MAX_DOCUMENT_BYTES:
            self._fail(CanaryFault.WRONG_SHAPE, "the answer is too large for one token")
            return
        self._take_json(self._body.decode(errors="replace"), error=False)
        if not self._finished:
            self._conclude(cut=False)

    def _take_json(self, text: str, *, error: bool) -> None:
        try:
            item: Any = json.loads(text)
        except (ValueError, RecursionError):
            item = None
        chunk = self._read(item)
        if error and (chunk is None or chunk.error is None):
            chunk = Chunk(error=text if item is None else error_text(item))
        if chunk is None:
            problem = "is not JSON" if item is None else "is not a completion"
            self._fail(CanaryFault.WRONG_SHAPE, f"the answer {problem}: {quoted(text)}")
        elif chunk.error is not None:
            detail = f"the answer is an error: {quoted(chunk.error)}"
            self._fail(CanaryFault.ERROR_ITEM, detail, blame_for(chunk.error))
        else:
            self._take_chunk(chunk)

    def _take_chunk(self, chunk: Chunk) -> None:
        self._items += 1
        self._outputs += chunk.output
        if chunk.token_ids is not None:
            self._ids = (self._ids or 0) + chunk.token_ids
        if chunk.usage is not None:
            self._usage = max(chunk.usage, self._usage or 0)
        self._finish = chunk.finish or self._finish

    def _tokens(self) -> int:
        counted = [count for count in (self._ids, self._usage) if count is not None]
        implied = not counted and self._finish is not None and self._finish in _TOKEN_ENDS
        return max(counted, default=0) or self._outputs or int(implied)

    def _conclude(self, *, cut: bool) -> None:
        """Judge a body that is over: `cut` where it ended without saying so."""
        self._finished = True
        tokens = self._tokens()
        if cut and self._end_is_told and self._finish is None and self._items:
            self._fail(
                CanaryFault.WRONG_SHAPE,
                f"the answer broke off after {tokens} token(s): neither [DONE] nor a finish_reason",
            )
        elif self._events.stray and not self._items:
            shown = quoted(self._events.stray)
            self._fail(CanaryFault.WRONG_SHAPE, f"the answer is not an event stream: {shown}")
        elif tokens == 0:
            end = f"finish_reason {quoted(self._finish)}" if self._finish else "no finish_reason"
            self._fail(CanaryFault.EMPTY, f"the answer ended without a token ({end})")

    def _fail(self, fault: CanaryFault, detail: str, blame: Blame = Blame.ENGINE) -> None:
        self._failure = Failure(fault, detail, blame=blame)
        self._finished = True

    def _room(self) -> int:
        return MAX_REFUSAL_BYTES if self._mode is _Mode.REFUSAL else _MAX_DOCUMENT_BYTES

    def _beginning(self) -> str:
        return quoted(self._body[:1024].decode(errors="replace"))


def _mode(status: int, content_type: str) -> _Mode:
    if status != 200:
        return _Mode.REFUSAL
    if content_type in {"text/event-stream", "text/plain", ""}:
        return _Mode.EVENTS
    if content_type in {"application/x-ndjson", "application/jsonl"}:
        return _Mode.LINES
    if content_type == "application/json" or content_type.endswith("+json"):
        return _Mode.DOCUMENT
    return _Mode.FOREIGN


@cache
def _version() -> str:
    try:
        return metadata.version("serinus")
    except metadata.PackageNotFoundError:  # run from a source tree that is not installed
        return "0"
