"""What a handler yields: which items are errors, and how many tokens they bring."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.runtime.answers import error_in, looks_bad, status_of, tokens_in


@dataclass
class Item:
    """Output as an object, as engines' own classes are."""

    token_ids: list[int] | None = None
    finish_reason: Any = None
    error: Any = None
    event: str | None = None
    choices: list[Any] = field(default_factory=list)


class Awkward:
    """An object whose own properties raise."""

    @property
    def error(self) -> str:
        """Raise."""
        raise RuntimeError("not decoded yet")


class Stream:
    """An object whose methods have the names of fields."""

    def error(self) -> str:
        """Be no field."""
        return "x"


GOOD: list[Any] = [
    None,
    "",
    "any text, even an error",
    b"data: {}",
    5,
    2.5,
    [],
    ["error"],
    {},
    {"token_ids": []},
    {"token_ids": [5], "finish_reason": "length"},
    {"token_ids": [5], "finish_reason": "stop"},
    {"token_ids": [5], "finish_reason": None},
    {"token_ids": [5], "finish_reason": {"stop": 1}},
    {"error": None},
    {"error": ""},
    {"error": {}},
    {"error": False},
    {"event": "token"},
    {"finish_reason": 3},
    {"finish_reason": {"error": None}},
    {"choices": []},
    {"choices": None},
    {"choices": "error"},
    {"choices": [{"text": "a", "finish_reason": "length"}]},
    {"choices": [None, 5, "error"]},
    Item([5]),
    Item(finish_reason="stop"),
    Stream(),
    Awkward(),
    object(),
]
BAD: list[tuple[Any, str]] = [
    ({"error": "boom"}, "error: boom"),
    ({"error": {"message": "boom", "code": 500}}, "error: {'message': 'boom', 'code': 500}"),
    ({"token_ids": [5], "error": "late"}, "error: late"),
    ({"finish_reason": "error"}, "finish_reason: error"),
    ({"finish_reason": "error: CUDA out of memory"}, "finish_reason: error: CUDA out of memory"),
    ({"finish_reason": {"error": "OOM"}}, "finish_reason: {'error': 'OOM'}"),
    ({"event": "error"}, "event: error"),
    ({"event": "error", "data": "boom"}, "event: error boom"),
    ({"event": "error", "comment": ["boom"]}, "event: error ['boom']"),
    ({"event": "error", "data": None, "comment": "c"}, "event: error c"),
    (
        {"choices": [{"finish_reason": "length"}, {"finish_reason": "error"}]},
        "finish_reason: error",
    ),
    (Item(error="boom"), "error: boom"),
    (Item(finish_reason="error"), "finish_reason: error"),
    (Item(event="error"), "event: error"),
    (Item(choices=[Item(finish_reason={"error": "x"})]), "finish_reason: {'error': 'x'}"),
    ({"error": "two\nlines"}, "error: two lines"),
    ({"error": "x" * 1000}, "error: " + "x" * 199 + "…"),
]


@pytest.mark.parametrize("item", GOOD, ids=range(len(GOOD)))
def test_good_output_is_not_taken_for_an_error(item: Any) -> None:
    """Text is never read for meaning, and empty error fields are none."""
    assert error_in(item) is None
    assert not looks_bad(item)


@pytest.mark.parametrize(("item", "text"), BAD, ids=range(len(BAD)))
def test_an_error_is_found_and_told_in_one_short_line(item: Any, text: str) -> None:
    """As a key of a mapping, or an attribute of an object."""
    assert error_in(item) == text
    assert looks_bad(item)


FIELDS = st.dictionaries(
    st.sampled_from(["error", "finish_reason", "event", "choices", "token_ids", "data"]),
    st.none()
    | st.sampled_from(["error", "stop", "", "x"])
    | st.booleans()
    | st.lists(st.integers(0, 3), max_size=2)
    | st.dictionaries(st.sampled_from(["error", "finish_reason"]), st.none() | st.just("error")),
    max_size=4,
)


@given(FIELDS | FIELDS.map(lambda fields: {"choices": [fields]}))
def test_the_quick_look_and_the_careful_one_never_disagree(item: dict[str, Any]) -> None:
    """The quick one is on the path of every chunk, and may not miss what the other would find."""
    assert looks_bad(item) is (error_in(item) is not None)


@pytest.mark.parametrize(
    ("item", "tokens"),
    [
        ({"token_ids": [7, 9]}, 2),
        ({"token_ids": (7,)}, 1),
        ({"token_ids": []}, 0),
        ({"token_ids": [], "finish_reason": "length"}, 0),
        ({"token_ids": [], "finish_reason": "stop"}, 1),
        ({"token_ids": [], "finish_reason": "eos"}, 1),
        ({"token_ids": [], "finish_reason": {"stop": 1}}, 0),
        ({"token_ids": 5}, 1),
        ({"token_ids": None}, 1),
        ({"text": ""}, 1),
        ({}, 1),
        ("", 1),
        ("\ufffd", 1),
        (b"", 1),
        (0, 1),
        (None, 0),
        ({"choices": [{"text": ""}]}, 1),
        ({"choices": [{"text": "a"}, {"text": "b"}]}, 2),
        ({"choices": []}, 0),
        ({"choices": "odd"}, 0),
        (Item([1, 2, 3]), 3),
        (Item(choices=[1]), 1),
        (Item(), 0),
        (object(), 1),
    ],
)
def test_tokens_are_counted_and_never_characters(item: Any, tokens: int) -> None:
    """The text of a good token can be empty; an end that the model chose is a token."""
    assert tokens_in(item) == tokens


@pytest.mark.parametrize(
    ("item", "status"),
    [
        ({"error": {"code": 400}}, 400),
        ({"error": "x", "code": 503}, 503),
        ({"error": {"code": 400}, "code": 500}, 400),
        ({"error": {"code": "bad_request"}}, None),
        ({"error": {"code": True}}, None),
        ({"error": "x"}, None),
        ({"event": "error"}, None),
        (Item(error=Item()), None),
        (None, None),
    ],
)
def test_the_code_inside_an_error_is_found(item: Any, status: int | None) -> None:
    """An HTTP-like number, beside the error or inside it."""
    assert status_of(item) == status
