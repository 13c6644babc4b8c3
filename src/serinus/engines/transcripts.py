"""Answers token by token: which tokens came, how likely each was, and what nearly came.

An item of a stream becomes a piece of a `Transcript`, by a function of the engine's. The functions
here know the shapes of OpenAI's API: a text completion's `logprobs` (`tokens`, `token_logprobs`,
`top_logprobs`), a chat's and llama.cpp's (`content`, a list of tokens), and ids (`token_ids`).

JSON has no NaN. Servers write `null` (pydantic's way, vLLM's therefore), or `NaN`, which is no JSON
and which Python reads. Both are NaN here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan, nan
from typing import Any

from serinus.core.transcript import Token, Transcript, Unit
from serinus.engines.chunks import Chunk, read_chunk
from serinus.engines.completions import CompletionReader, question
from serinus.engines.openai_api import CHAT, COMPLETIONS
from serinus.engines.protocol import Question

__all__ = [
    "TextTranscripts",
    "TranscribingReader",
    "characters",
    "greedy_chat",
    "greedy_completion",
    "margin",
    "number",
    "said_openai",
    "tokens_listed",
]

_ID = "token_id:"
"""How vLLM writes a token by its id (`return_tokens_as_token_ids`)."""
_SURE = 1e4
"""The widest margin that is told: where nothing else was possible, it would be infinite."""


class TranscribingReader(CompletionReader):
    """Reads an answer, and keeps what was said. `said` returns what an item brings of it."""

    def __init__(
        self,
        said: Callable[[object], Transcript],
        read: Callable[[object], Chunk | None] = read_chunk,
        *,
        end_is_told: bool = True,
    ) -> None:
        super().__init__(self._listen, end_is_told=end_is_told)
        self._said = said
        self._understand = read
        self._transcript = Transcript()

    @property
    def transcript(self) -> Transcript:
        """What is known up to now; final once the answer is finished."""
        return self._transcript

    def _listen(self, item: object) -> Chunk | None:
        chunk = self._understand(item)
        if chunk is not None and chunk.error is None:
            self._transcript = self._heard(self._said(item))
        return chunk

    def _heard(self, piece: Transcript) -> Transcript:
        return self._transcript.joined(piece)


class TextTranscripts:
    """The capability of any server of OpenAI's API: log-probabilities if it has them, else text."""

    __slots__ = ()

    def greedy(self, model: str, prompt: str, *, tokens: int) -> tuple[Question, ...]:
        """Return a completion with log-probabilities, one without, and a chat."""
        return (
            greedy_completion(model, prompt, tokens, {"logprobs": 2}),
            greedy_completion(model, prompt, tokens, {}),
            greedy_chat(model, prompt, tokens, {}),
        )

    def transcript_reader(self) -> TranscribingReader:
        """Return a new reader; it reads all of these shapes."""
        return TranscribingReader(said_openai)


def greedy_completion(model: str, prompt: str, tokens: int, more: Mapping[str, Any]) -> Question:
    """Return the question for so many tokens after a text; `more` fields are the engine's own."""
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0}
    return question(COMPLETIONS, {**body, "stream": True, **more})


def greedy_chat(model: str, prompt: str, tokens: int, more: Mapping[str, Any]) -> Question:
    """Return the same as a chat."""
    messages = [{"role": "user", "content": prompt}]
    body = {"model": model, "messages": messages, "max_tokens": tokens, "temperature": 0}
    return question(CHAT, {**body, "stream": True, **more})


def said_openai(item: object) -> Transcript:
    """Return what a completion or a chat brings, streamed or whole; its first choice alone."""
    choices = item.get("choices") if isinstance(item, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, Mapping):
        return Transcript()
    text, logprobs, ids = _text(choice), choice.get("logprobs"), choice.get("token_ids")
    said = Transcript(text=text)
    if isinstance(logprobs, Mapping) and isinstance(logprobs.get("content"), list):
        said = tokens_listed(logprobs["content"], text)
    elif isinstance(logprobs, Mapping) and isinstance(logprobs.get("tokens"), list):
        said = _columns(logprobs, text)
    if isinstance(ids, list) and ids:
        numbers = len(said.tokens) == len(ids)  # a chunk may hold back the numbers of its tokens
        said = Transcript(
            tuple(map(_token, ids)),
            said.logprobs if numbers else None,
            said.margins if numbers else None,
            text,
        )
    return said if said.tokens else characters(text)


def characters(text: str) -> Transcript:
    """Return the text of an engine that tells of no tokens."""
    return Transcript(tuple(text), text=text, by=Unit.CHARACTER if text else Unit.ID)


def tokens_listed(listed: Sequence[object], text: str) -> Transcript:
    """Read a list of tokens, each with its `id` or `token`, its `logprob` and `top_logprobs`."""
    found = [one for one in listed if isinstance(one, Mapping)]
    if not found:
        return Transcript(text=text)
    by_id = all(type(one.get("id")) is int for one in found)
    tokens = tuple(_token(one["id"] if by_id else one.get("token", "")) for one in found)
    logprobs = margins = None
    if all("logprob" in one for one in found):
        logprobs = tuple(number(one["logprob"]) for one in found)
        tops = [one.get("top_logprobs") for one in found]
        if all(isinstance(top, list) and len(top) > 1 for top in tops):
            margins = tuple(
                margin(own, (number(one.get("logprob")) for one in top if isinstance(one, Mapping)))
                for own, top in zip(logprobs, tops, strict=True)
                if isinstance(top, list)
            )
    return Transcript(tokens, logprobs, margins, text, Unit.ID if by_id else Unit.TEXT)


def number(told: object) -> float:
    """Return a log-probability; NaN for what is none."""
    return float(told) if isinstance(told, int | float) and not isinstance(told, bool) else nan


def margin(own: float, tops: Iterable[float]) -> float:
    """Return by how much a token was likelier than the best of the others, at most `_SURE`.

    `tops` are the best ones, itself among them. 0 where it was not the best.

    >>> margin(-0.5, [-0.5, -2.0])
    1.5
    """
    best = sorted((one for one in tops if not isnan(one)), reverse=True)
    return min(max(own - best[1], 0.0), _SURE) if len(best) > 1 and not isnan(own) else 0.0


def _columns(told: Mapping[str, Any], text: str) -> Transcript:
    """Read a text completion's columns."""
    tokens = tuple(map(_token, told["tokens"]))
    by = Unit.ID if all(type(token) is int for token in tokens) else Unit.TEXT
    own, tops = told.get("token_logprobs"), told.get("top_logprobs")
    logprobs = margins = None
    if isinstance(own, list) and len(own) == len(tokens):
        logprobs = tuple(map(number, own))
        if isinstance(tops, list) and len(tops) == len(tokens) and all(map(_has_others, tops)):
            pairs = zip(logprobs, tops, strict=True)
            margins = tuple(margin(one, map(number, top.values())) for one, top in pairs)
    return Transcript(tokens, logprobs, margins, text, by)


def _has_others(top: object) -> bool:
    return isinstance(top, Mapping) and len(top) > 1


def _token(told: object) -> Token:
    if isinstance(told, int):
        return int(told)
    text = str(told)
    number_of = text.removeprefix(_ID)
    return int(number_of) if text.startswith(_ID) and number_of.isdecimal() else text


def _text(choice: Mapping[str, Any]) -> str:
    for part in (choice, choice.get("delta"), choice.get("message")):
        if isinstance(part, Mapping):
            for key in ("text", "content", "reasoning_content", "reasoning"):
                if isinstance(part.get(key), str):
                    return str(part[key])
    return ""
