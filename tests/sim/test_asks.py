"""Reading requests for text: what is served, and what is refused with which words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.sim import words
from serinus.sim.asks import Ask, AskError, Blame, Dialect, Kind, read_ask

VLLM = Dialect("tiny", 100, takes_token_ids=True, needs_model=False)
PLAIN = Dialect("tiny", 100, takes_token_ids=False, needs_model=True)


def read(body: dict[str, Any], *, kind: Kind = Kind.COMPLETION, dialect: Dialect = VLLM) -> Ask:
    """Read a body as a server would."""
    return read_ask(kind, json.dumps(body).encode(), dialect)


@pytest.mark.parametrize(
    ("prompt", "lengths"),
    [
        ("the engine sings", [3]),
        ("   ", [1]),
        (["the", "engine sings"], [1, 2]),
        ([1, 2, 3], [3]),
        ([[1, 2], [3]], [2, 1]),
    ],
)
def test_a_prompt_is_text_or_ids_or_several_of_either(prompt: object, lengths: list[int]) -> None:
    """All four forms of the API."""
    ask = read({"prompt": prompt})
    assert [len(order.prompt) for order in ask.orders] == lengths


def test_the_length_of_an_answer_is_asked_for_or_a_default_and_never_above_the_context() -> None:
    """Sixteen for a completion, all that fits for a chat, and what is asked for is cut to fit."""
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    assert read({"prompt": [1]}).orders[0].max_tokens == 16
    assert read({"prompt": [1], "max_tokens": 5}).orders[0].max_tokens == 5
    assert read({"prompt": [1], "max_tokens": 500}).orders[0].max_tokens == 99
    assert read(chat, kind=Kind.CHAT).orders[0].max_tokens == 96
    asked = {**chat, "max_completion_tokens": 3}
    assert read(asked, kind=Kind.CHAT).orders[0].max_tokens == 3


def test_a_conversation_is_laid_out_with_its_roles() -> None:
    """BOS, a role and its words for each message, and the role that is to answer."""
    parts = [{"type": "text", "text": "b c"}, {"type": "image_url"}]
    messages = [{"role": "system", "content": "a"}, {"role": "user", "content": parts}]
    (order,) = read({"messages": messages}, kind=Kind.CHAT).orders
    assert order.prompt == (
        words.BOS,
        words.ROLE,
        *words.token_ids("a"),
        words.ROLE,
        *words.token_ids("b c"),
        words.ROLE,
    )


def test_copies_of_a_prompt_are_sequences_and_count_once_in_the_usage() -> None:
    """`n` answers to one prompt."""
    ask = read({"prompt": [[1, 2], [3]], "n": 3})
    assert [order.prompt for order in ask.orders] == [(1, 2)] * 3 + [(3,)] * 3
    assert ask.prompt_tokens == 3


@pytest.mark.parametrize(
    ("body", "param", "blame"),
    [
        ({}, "prompt", Blame.VALUE),
        ({"prompt": ""}, "prompt", Blame.VALUE),
        ({"prompt": []}, None, Blame.VALUE),
        ({"prompt": [[]]}, None, Blame.VALUE),
        ({"prompt": 3.5}, "body.prompt", Blame.SHAPE),
        ({"prompt": [1, "a"]}, "body.prompt", Blame.SHAPE),
        ({"prompt": [True]}, "body.prompt", Blame.SHAPE),
        ({"prompt": [-1]}, None, Blame.VALUE),
        ({"prompt": [words.VOCABULARY]}, None, Blame.VALUE),
        ({"prompt": [1] * 100}, "input_tokens", Blame.VALUE),
        ({"prompt": "a", "model": "nobody"}, "model", Blame.MODEL),
        ({"prompt": "a", "model": 3}, "body.model", Blame.SHAPE),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens", Blame.VALUE),
        ({"prompt": "a", "max_tokens": "many"}, "body.max_tokens", Blame.SHAPE),
        ({"prompt": "a", "max_tokens": 1.5}, "body.max_tokens", Blame.SHAPE),
        ({"prompt": "a", "n": 0}, "n", Blame.VALUE),
        ({"prompt": "a", "n": 1000}, "n", Blame.VALUE),
        ({"prompt": ["a"] * 1000}, "n", Blame.VALUE),
        ({"prompt": "a", "stream": "yes"}, "body.stream", Blame.SHAPE),
        ({"prompt": "a", "stream_options": {"include_usage": True}}, "stream_options", Blame.VALUE),
        (
            {"prompt": "a", "stream": True, "stream_options": [1]},
            "body.stream_options",
            Blame.SHAPE,
        ),
    ],
)
def test_a_bad_completion_names_its_parameter(
    body: dict[str, Any], param: str | None, blame: Blame
) -> None:
    """The API's error says which field it was."""
    with pytest.raises(AskError) as caught:
        read(body)
    assert (caught.value.param, caught.value.blame) == (param, blame)


@pytest.mark.parametrize("messages", [None, "hi", [], ["hi"], [3]])
def test_a_bad_conversation_is_refused(messages: object) -> None:
    """No messages, none in the list, or not of the form."""
    with pytest.raises(AskError):
        read({"messages": messages}, kind=Kind.CHAT)


@pytest.mark.parametrize("raw", [b"", b"{not json", b"\xff\xfe\x00", b"[1]", b'"text"', b"null"])
def test_a_body_that_is_no_json_object_is_refused(raw: bytes) -> None:
    """As a wrong form, not as a failure of the server."""
    with pytest.raises(AskError) as caught:
        read_ask(Kind.COMPLETION, raw, VLLM)
    assert caught.value.blame is Blame.SHAPE


def test_a_plain_server_wants_text_and_the_name_of_the_model() -> None:
    """Token ids are vLLM's, and so is leaving the model out."""
    assert read({"model": "tiny", "prompt": "a"}, dialect=PLAIN).orders
    for body, param in (({"prompt": "a"}, "model"), ({"model": "tiny", "prompt": [1]}, "prompt")):
        with pytest.raises(AskError) as caught:
            read(body, dialect=PLAIN)
        assert caught.value.param == param


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
FIELDS = (
    "model",
    "prompt",
    "messages",
    "max_tokens",
    "n",
    "stream",
    "stream_options",
    "ignore_eos",
)


@given(body=st.dictionaries(st.sampled_from(FIELDS), JSON), kind=st.sampled_from(Kind))
def test_any_json_is_an_ask_or_a_refusal(body: dict[str, Any], kind: Kind) -> None:
    """A simulator does not fall over a request."""
    try:
        ask = read(body, kind=kind)
    except AskError:
        return
    assert all(1 <= order.max_tokens < 100 for order in ask.orders)
