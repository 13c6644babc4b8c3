"""Read a request for text: what is wanted, or what is wrong with it.

The rules and the words of the complaints are vLLM 0.32's; a dialect says where a plainer server
of OpenAI's API differs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from serinus.errors import SerinusError, excerpt
from serinus.sim import words
from serinus.sim.jobs import Order

__all__ = ["Ask", "AskError", "Blame", "Dialect", "Kind", "read_ask"]

COMPLETION_TOKENS = 16  # what a completion gets that names no max_tokens, as OpenAI's API has it
MOST_SEQUENCES = 128


class Kind(StrEnum):
    """The two ways of asking."""

    COMPLETION = "completion"
    CHAT = "chat"


class Blame(StrEnum):
    """What is wrong with a request."""

    SHAPE = "shape"  # it is not of the form the API takes
    VALUE = "value"  # it is, but says something that cannot be
    MODEL = "model"  # there is no such model


class AskError(SerinusError):
    """A request that will not be served; the message is for the client."""

    def __init__(self, message: str, *, blame: Blame = Blame.VALUE, param: str | None = None):
        super().__init__(message)
        self.message = message
        self.blame = blame
        self.param = param


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server reads requests: its model, its context in tokens, and what it insists on."""

    model: str
    context: int
    takes_token_ids: bool
    needs_model: bool
    rank_field: str | None = None
    """The field of a request that names its data-parallel rank."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for text: `orders` has each prompt `copies` times in a row."""

    kind: Kind
    orders: tuple[Order, ...]
    copies: int = 1
    stream: bool = False
    usage: bool = False
    steady_usage: bool = False
    token_ids: bool = False
    logprobs: int | None = None
    """Of how many of the best tokens of each place the log-probabilities are wanted."""
    by_id: bool = False
    """Tokens are told by their ids, where they would be by their texts."""
    rank: int | None = None

    @property
    def prompt_tokens(self) -> int:
        """The tokens of all prompts, each of them counted once however many copies it has."""
        return sum(len(order.prompt) for order in self.orders[:: self.copies])


def read_ask(kind: Kind, raw: bytes, dialect: Dialect) -> Ask:
    """Read a request's body.

    Raises:
        AskError: It will not be served.
    """
    body = _body(raw)
    _check_model(body.get("model"), dialect)
    stream = _flag(body, "stream")
    options = body.get("stream_options") or {}
    if options and not stream:
        raise AskError(
            "Stream options can only be defined when `stream=True`. (parameter=stream_options)",
            param="stream_options",
        )
    if not isinstance(options, Mapping):
        raise _wrong("stream_options", "dict_type", "Input should be a valid dictionary", options)
    prompts = _chat(body) if kind is Kind.CHAT else _prompts(body, dialect)
    wanted = _max_tokens(body, kind)
    copies = _whole(body, "n", 1)
    if not 1 <= copies <= MOST_SEQUENCES // len(prompts):
        raise AskError(
            f"n must be at least 1, with at most {MOST_SEQUENCES} sequences a request, "
            f"got {copies}. (parameter=n, value={copies})",
            param="n",
        )
    ignore_eos = _flag(body, "ignore_eos")
    orders = tuple(
        Order(prompt, _fitting(prompt, wanted, dialect), ignore_eos=ignore_eos)
        for prompt in prompts
        for _ in range(copies)
    )
    return Ask(
        kind,
        orders,
        copies,
        stream=stream,
        usage=_flag(options, "include_usage"),
        steady_usage=_flag(options, "continuous_usage_stats"),
        token_ids=_flag(body, "return_token_ids"),
        logprobs=_logprobs(body, kind),
        by_id=_flag(body, "return_tokens_as_token_ids"),
        rank=_rank(body, dialect),
    )


def _rank(body: Mapping[str, Any], dialect: Dialect) -> int | None:
    field = dialect.rank_field
    return None if field is None or body.get(field) is None else _whole(body, field, 0)


def _body(raw: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError as failure:
        reason = getattr(failure, "msg", "not UTF-8")
        place = f"body.{getattr(failure, 'pos', 0)}"
        raise AskError(
            f"1 validation error:\n  {{'type': 'json_invalid', 'loc': '{place}', 'msg': "
            f"'JSON decode error', 'input': {{}}, 'ctx': {{'error': '{reason}'}}}}",
            blame=Blame.SHAPE,
            param=place,
        ) from None
    if not isinstance(body, Mapping):
        raise _wrong("", "model_attributes_type", "Input should be a valid dictionary", body)
    return body


def _wrong(field: str, kind: str, message: str, value: object) -> AskError:
    """Complain of a field's form in the words of the API's validator."""
    place = f"body.{field}" if field else "body"
    return AskError(
        f"1 validation error:\n  {{'type': '{kind}', 'loc': '{place}', 'msg': '{message}', "
        f"'input': '{excerpt(value)}'}}",
        blame=Blame.SHAPE,
        param=place,
    )


def _check_model(model: object, dialect: Dialect) -> None:
    if model is None:
        if dialect.needs_model:
            raise AskError("you must provide a model parameter", param="model")
        return
    if not isinstance(model, str):
        raise _wrong("model", "string_type", "Input should be a valid string", model)
    if model != dialect.model:
        raise AskError(
            f"The model `{excerpt(model)}` does not exist. Valid aliases: {dialect.model}.",
            blame=Blame.MODEL,
            param="model",
        )


def _flag(body: Mapping[str, Any], field: str) -> bool:
    value = body.get(field)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _wrong(field, "bool_type", "Input should be a valid boolean", value)


def _whole(body: Mapping[str, Any], field: str, default: int) -> int:
    value = body.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise _wrong(field, "int_parsing", message, value)
    return value


def _logprobs(body: Mapping[str, Any], kind: Kind) -> int | None:
    """Return of how many tokens a place the log-probabilities are wanted; None for none."""
    if kind is Kind.CHAT:
        return _whole(body, "top_logprobs", 0) if _flag(body, "logprobs") else None
    return None if body.get("logprobs") is None else _whole(body, "logprobs", 0)


def _max_tokens(body: Mapping[str, Any], kind: Kind) -> int | None:
    """Return how many tokens are wanted; None is as many as fit."""
    field = "max_tokens"
    if kind is Kind.CHAT and body.get("max_completion_tokens") is not None:
        field = "max_completion_tokens"
    if body.get(field) is None:
        return COMPLETION_TOKENS if kind is Kind.COMPLETION else None
    wanted = _whole(body, field, 0)
    if wanted < 1:
        raise AskError(
            f"max_tokens must be at least 1, got {wanted}. (parameter=max_tokens, value={wanted})",
            param="max_tokens",
        )
    return wanted


def _fitting(prompt: tuple[int, ...], wanted: int | None, dialect: Dialect) -> int:
    """Return the tokens that may follow a prompt: vLLM cuts what is wanted to what fits."""
    room = dialect.context - len(prompt)
    if room < 1:
        raise AskError(
            f"This model's maximum context length is {dialect.context} tokens. However, your "
            f"prompt contains {len(prompt)} input tokens, which exceeds this limit even without "
            "any output tokens. Please reduce the length of the input prompt. "
            f"(parameter=input_tokens, value={len(prompt)})",
            param="input_tokens",
        )
    return room if wanted is None else min(wanted, room)


def _prompts(body: Mapping[str, Any], dialect: Dialect) -> list[tuple[int, ...]]:
    prompt = body.get("prompt")
    if prompt is None or prompt == "":
        raise AskError(
            "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)",
            param="prompt",
        )
    if isinstance(prompt, str):
        return [_text(prompt)]
    if not isinstance(prompt, list):
        raise _wrong("prompt", "string_type", "Input should be a valid string", prompt)
    if not prompt:
        raise AskError("You must pass at least one prompt")
    if all(isinstance(each, str) for each in prompt):
        return [_text(each) for each in prompt]
    if not dialect.takes_token_ids:
        raise AskError("prompt: only a string or a list of strings is accepted", param="prompt")
    if all(isinstance(each, list) for each in prompt):
        return [_ids(each) for each in prompt]
    return [_ids(prompt)]


def _text(prompt: str) -> tuple[int, ...]:
    return words.token_ids(prompt) or (words.BOS,)  # blanks alone are still a prompt


def _ids(prompt: Sequence[object]) -> tuple[int, ...]:
    ids: list[int] = []
    for token in prompt:
        if isinstance(token, bool) or not isinstance(token, int):
            raise _wrong("prompt", "int_type", "Input should be a valid integer", token)
        if not 0 <= token < words.VOCABULARY:
            raise AskError(f"Token id {token} is out of vocabulary")
        ids.append(token)
    if not ids:
        raise AskError("You must pass at least one prompt")
    return tuple(ids)


def _chat(body: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """Lay out a conversation: BOS, a role and its words for each message, the role that answers."""
    messages = body.get("messages")
    if messages is None:
        raise AskError(
            "1 validation error:\n  {'type': 'missing', 'loc': 'body.messages', "
            f"'msg': 'Field required', 'input': '<dict of {len(body)} items>'}}",
            blame=Blame.SHAPE,
            param="body.messages",
        )
    if not isinstance(messages, list) or not all(isinstance(each, Mapping) for each in messages):
        raise _wrong("messages", "list_type", "Input should be a valid list", messages)
    if not messages:
        raise AskError(
            "Cannot apply chat template to an empty conversation. Provide at least one message."
        )
    ids = [words.BOS]
    for message in messages:
        ids += (words.ROLE, *words.token_ids(_content(message.get("content"))))
    return [(*ids, words.ROLE)]


def _content(content: object) -> str:
    """Return a message's text, which may stand in parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (each.get("text", "") for each in content if isinstance(each, Mapping))
        return " ".join(part for part in parts if isinstance(part, str))
    return ""
