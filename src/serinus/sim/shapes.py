"""The JSON of OpenAI's API as plain servers write it; an engine with more to say extends it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from serinus.sim import words
from serinus.sim.asks import Ask, AskError, Blame, Kind
from serinus.sim.jobs import Finish

__all__ = ["Answer", "OpenAiShapes", "Reply", "Stamp"]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What all parts of one answer have in common."""

    id: str
    created: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Tokens of one sequence: all of them, or those of one chunk. `finish` is with the last."""

    index: int
    prompt: tuple[int, ...]
    said: tuple[words.Said, ...]
    finish: Finish | None

    @property
    def tokens(self) -> tuple[int, ...]:
        """The ids alone."""
        return tuple(one.token for one in self.said)

    @property
    def text(self) -> str:
        """The tokens as text; it can be empty though there are tokens."""
        return "".join(words.token_text(token) for token in self.tokens)


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and the JSON that goes with it."""

    status: int
    body: Mapping[str, Any]


class OpenAiShapes:
    """OpenAI's API as it is written down."""

    #: Whether why a stream ended is told in a chunk of its own, which has no token.
    finish_apart = True
    #: Whether a stream that fails still ends in `[DONE]`.
    done_after_error = False
    #: Whether a stream ends in `[DONE]`; where not, its counts stand in the last event.
    done = True
    #: Who owns the model, as its list has it: most engines name themselves.
    owner = "serinus"

    def __init__(self, model: str, *, wall: Callable[[], float] = time.time) -> None:
        self.model = model
        self._wall = wall

    def stamp(self, kind: Kind) -> Stamp:
        """Make the id and the time of an answer."""
        prefix = "cmpl" if kind is Kind.COMPLETION else "chatcmpl"
        return Stamp(f"{prefix}-{secrets.token_hex(8)}", int(self._wall()))

    def models(self, *, loaded: bool) -> dict[str, Any]:
        """Return the list of models: empty while the one there is gets loaded."""
        return {"object": "list", "data": [self.model_card()] if loaded else []}

    def model_card(self) -> dict[str, Any]:
        """Return the entry of the one model."""
        return {
            "id": self.model,
            "object": "model",
            "created": int(self._wall()),
            "owned_by": self.owner,
        }

    def whole(self, ask: Ask, stamp: Stamp, answers: Sequence[Answer]) -> dict[str, Any]:
        """Return an answer in one piece."""
        chat = ask.kind is Kind.CHAT
        made = sum(len(answer.tokens) for answer in answers)
        return {
            "id": stamp.id,
            "object": "chat.completion" if chat else "text_completion",
            "created": stamp.created,
            "model": self.model,
            "choices": [self.choice(ask, answer) for answer in answers],
            "usage": self.usage(ask.prompt_tokens, made),
        }

    def choice(self, ask: Ask, answer: Answer) -> dict[str, Any]:
        """Return one sequence of an answer in one piece."""
        said: dict[str, Any] = (
            {"message": {"role": "assistant", "content": answer.text, "refusal": None}}
            if ask.kind is Kind.CHAT
            else {"text": answer.text}
        )
        return {
            "index": answer.index,
            **said,
            "logprobs": self.logprobs(ask, answer),
            "finish_reason": answer.finish,
        }

    def logprobs(self, ask: Ask, answer: Answer) -> dict[str, Any] | None:
        """Return how likely each token was, and the best of its place, if that was asked for."""
        if ask.logprobs is None or not answer.said:
            return None
        if ask.kind is Kind.CHAT:
            return {"content": [self.listed(ask, one) for one in answer.said]}
        columns = [self._best(ask, one, ask.logprobs) for one in answer.said]
        return {
            "text_offset": [0] * len(answer.said),
            "token_logprobs": [_number(one.logprob) for one in answer.said],
            "tokens": [self.called(ask, one.token) for one in answer.said],
            "top_logprobs": [dict(one) for one in columns],
        }

    def listed(self, ask: Ask, said: words.Said) -> dict[str, Any]:
        """Return one token as a chat's list has it."""
        best = self._best(ask, said, ask.logprobs or 0)
        return {
            "token": self.called(ask, said.token),
            "logprob": _number(said.logprob),
            "bytes": None,
            "top_logprobs": [
                {"token": name, "logprob": value, "bytes": None} for name, value in best
            ],
        }

    def called(self, ask: Ask, token: int) -> str:
        """Return what a token is called among log-probabilities."""
        return f"token_id:{token}" if ask.by_id else words.token_text(token)

    def _best(self, ask: Ask, said: words.Said, count: int) -> list[tuple[str, float | None]]:
        both = [(said.token, said.logprob), (said.rival, said.rival_logprob)]
        return [(self.called(ask, token), _number(value)) for token, value in both[: max(count, 1)]]

    def usage(self, prompt: int, made: int) -> dict[str, Any]:
        """Return the count of tokens."""
        return {"prompt_tokens": prompt, "total_tokens": prompt + made, "completion_tokens": made}

    def chunk(self, ask: Ask, stamp: Stamp, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """Return one event of a stream."""
        chat = ask.kind is Kind.CHAT
        return {
            "id": stamp.id,
            "object": "chat.completion.chunk" if chat else "text_completion",
            "created": stamp.created,
            "model": self.model,
            "choices": choices,
        }

    def role_chunk(self, ask: Ask, stamp: Stamp, answer: Answer) -> dict[str, Any]:
        """Return what a chat's stream begins with: it has no token."""
        delta = {"role": "assistant", "content": ""}
        choice = {"index": answer.index, "delta": delta, "logprobs": None, "finish_reason": None}
        return self.chunk(ask, stamp, [choice])

    def token_chunk(
        self, ask: Ask, stamp: Stamp, answer: Answer, *, first: bool, last: bool
    ) -> dict[str, Any]:
        """Return an event with tokens: `first` of its sequence, `last` of the stream."""
        del first, last
        return self.chunk(ask, stamp, [self.delta(ask, answer)])

    def delta(self, ask: Ask, answer: Answer) -> dict[str, Any]:
        """Return the choice of an event with tokens, or of the one that only ends a sequence."""
        said: dict[str, Any] = {"text": answer.text}
        if ask.kind is Kind.CHAT:
            said = {"delta": {"content": answer.text} if answer.tokens else {}}
        return {
            "index": answer.index,
            **said,
            "logprobs": self.logprobs(ask, answer),
            "finish_reason": answer.finish,
        }

    def usage_chunk(self, ask: Ask, stamp: Stamp, made: int) -> dict[str, Any]:
        """Return the event behind the last token that counts them."""
        return {**self.chunk(ask, stamp, []), "usage": self.usage(ask.prompt_tokens, made)}

    def error(self, status: int, message: str, kind: str, param: str | None) -> Reply:
        """Return an error."""
        body = {"message": message, "type": kind, "param": param, "code": None}
        return Reply(status, {"error": body})

    def refusal(self, failure: AskError) -> Reply:
        """Return the answer to a request that cannot be served."""
        if failure.blame is Blame.MODEL:
            return self.error(404, failure.message, "invalid_request_error", failure.param)
        return self.error(400, failure.message, "invalid_request_error", failure.param)

    def busy(self) -> Reply:
        """Return the answer to a request that finds the queue full."""
        return self.error(503, "The server is overloaded, try later.", "server_error", None)

    def broken(self) -> Reply:
        """Return the answer to a request that the engine failed."""
        return self.error(500, "The server had an error while processing.", "server_error", None)

    def loading(self) -> Reply:
        """Return the answer to a request that comes before the model is there."""
        return self.error(503, "Loading model", "unavailable_error", None)


def _number(value: float) -> float | None:
    """Return a number as JSON can have it: NaN is nothing, as pydantic writes it."""
    return None if isnan(value) else value
