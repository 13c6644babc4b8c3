from __future__ import annotations

import json
from typing import Any

import pytest

from serinus.core.evidence import CanaryFault
from serinus.engines import Answer
from serinus.engines.completions import CompletionReader
from serinus.engines.openai import OpenAiEngine
from tests.engines.answers import EVENTS, TRANSFORMERS, read, recorded, sse

JSON = {"Content-Type": "application/json"}


def text(text: str = "", **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": text, "finish_reason": None, **fields}]}


def chat(**delta: Any) -> dict[str, Any]:
    finish = delta.pop("finish", None)
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


ROLE = chat(role="assistant", content="")


def answer_to(body: bytes, **more: Any) -> Answer:
    return read(OpenAiEngine(), body, **more)


@pytest.mark.parametrize(
    ("items", "tokens"),
    [
        ([text("a")], 1),
        ([text("\x00", finish_reason="length")], 1),
        ([text(finish_reason="length")], 1),
        ([text(finish_reason="stop")], 1),
        ([text(token_ids=[2], finish_reason="stop")], 1),
        ([text(token_ids=[5, 6])], 2),
        ([text("abc"), text("def")], 2),
        ([text("ab", token_ids=[5, 6, 7]), text(token_ids=[8])], 4),
        ([text(), {"choices": [], "usage": {"completion_tokens": 1}}], 1),
        ([text("a"), {"choices": [], "usage": None}], 1),
        ([text("a"), {"choices": [], "usage": {"completion_tokens": 0}}], 1),
        ([ROLE, chat(content="x", finish="length")], 1),
        ([ROLE, chat(finish="length")], 1),
        ([ROLE, chat(reasoning_content="hm", finish="length")], 1),
        ([ROLE, chat(reasoning="hm", finish="length")], 1),
        ([ROLE, chat(tool_calls=[{"index": 0}], finish="tool_calls")], 1),
        ([text(finish_reason={"type": "length", "length": 1})], 1),
    ],
)
def test_a_token_counts_whatever_its_text_is(items: list[Any], tokens: int) -> None:
    """By ids or usage where they are given, by chunks with output, by an end that takes a token."""
    answer = answer_to(sse(*items))
    assert answer.tokens == tokens
    assert answer.passed, answer.failure


@pytest.mark.parametrize(
    ("items", "end"),
    [
        ([], "no finish_reason"),
        ([ROLE], "no finish_reason"),
        ([text()], "no finish_reason"),
        ([text(token_ids=[], finish_reason="stop")], "finish_reason 'stop'"),
        (
            [text(finish_reason="stop"), {"choices": [], "usage": {"completion_tokens": 0}}],
            "finish_reason 'stop'",
        ),
        ([text(finish_reason="content_filter")], "finish_reason 'content_filter'"),
    ],
)
def test_an_answer_without_a_token_says_how_it_ended(items: list[Any], end: str) -> None:
    """A role, an empty chunk or an engine's own count of zero is no token."""
    answer = answer_to(sse(*items))
    assert answer.tokens == 0
    assert answer.failure is not None
    assert answer.failure.fault is CanaryFault.EMPTY
    assert answer.failure.detail == f"the answer ended without a token ({end})"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (sse({"error": {"message": "out of memory", "type": "T"}}), "'T: out of memory'"),
        (sse({"error": "Unauthorized"}), "'Unauthorized'"),
        (sse({"error": {"code": 500}}), "\"{'code': 500}\""),
        (sse({"object": "error", "message": "no", "code": 4}), "'no'"),
        (sse(text("a"), text(finish_reason="error")), "'finish_reason error'"),
        (sse(text("a"), text(finish_reason="abort")), "'finish_reason abort'"),
        (
            sse(text(finish_reason={"type": "abort", "message": "gone"})),
            "'finish_reason abort: gone'",
        ),
        (
            sse(text(finish_reason={"error": "CUDA error"})),
            "'finish_reason CUDA error'",
        ),
        (b"event: error\ndata: it broke\n\n", "'it broke'"),
        (b'event: error\ndata: {"message": "it broke"}\n\n', "'it broke'"),
        (b'event: error\ndata: {"choices": []}\n\n', "\"{'choices': []}\""),
        (b'error: {"code": 500, "message": "slot lost", "type": "S"}\n\n', "'S: slot lost'"),
    ],
)
def test_an_error_in_the_stream_fails_it_whatever_came_before(body: bytes, detail: str) -> None:
    """An error item, an error finish reason, an error event: each in its engine's shape."""
    answer = answer_to(body)
    assert answer.failure is not None
    assert answer.failure.fault is CanaryFault.ERROR_ITEM
    assert answer.failure.detail == f"the answer is an error: {detail}"
    assert answer.finished


def test_an_error_is_known_at_once() -> None:
    """The reader does not wait for the end of the stream."""
    reader = CompletionReader()
    reader.start(200, EVENTS)
    reader.feed(sse({"error": "no"}, done=False))
    assert reader.answer.finished
    assert reader.answer.failure is not None


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (sse({"status": "ok"}), 'the answer is not a completion: \'{"status": "ok"}\''),
        (sse([1]), "the answer is not a completion: '[1]'"),
        (sse({"choices": "x"}), "the answer is not a completion: "),
        (sse({"choices": [1]}), "the answer is not a completion: "),
        (b"data: {cut\n\n", "the answer is not JSON: '{cut'"),
        (b"data: " + b"[" * 100_000 + b"\n\n", "the answer is not JSON: "),
        (b"<html>hello</html>\n", "the answer is not an event stream: '<html>hello</html>'"),
        (b"\x00\xff\x01", "the answer is not an event stream: "),
        (b"data: " + b"x" * (1 << 20) + b"\n\n", "an event of the stream is too large"),
        (sse(text("a"), done=False), "the answer broke off after 1 token(s)"),
        (sse(text(), done=False), "the answer broke off after 0 token(s)"),
        (b'data: {"choices": [{"te', "the answer is not JSON: "),
    ],
)
def test_what_is_no_completion_is_of_the_wrong_shape(body: bytes, detail: str) -> None:
    """Another API, noise, a cut stream and a flood are told apart from an empty answer."""
    answer = answer_to(body)
    assert answer.failure is not None
    assert answer.failure.fault is CanaryFault.WRONG_SHAPE
    assert answer.failure.detail.startswith(detail)


def test_a_stream_that_ends_with_its_finish_reason_is_whole() -> None:
    """Some servers close without [DONE]; the finish reason is the end."""
    assert answer_to(sse(text("a", finish_reason="length"), done=False)).passed


def test_a_stream_without_its_last_empty_line_is_whole() -> None:
    """The end of the body ends the last event."""
    assert answer_to(sse(text("a")).rstrip(b"\n")).passed


@pytest.mark.parametrize(
    "headers", [{}, {"CONTENT-TYPE": "text/plain"}, {"content-type": "TEXT/EVENT-STREAM"}]
)
def test_a_stream_is_read_by_what_it_is(headers: dict[str, str]) -> None:
    """Header names have no case, and some servers send no type, or the wrong text type."""
    assert answer_to(sse(text("a", finish_reason="length")), headers=headers).passed


def test_a_document_is_whole_by_itself() -> None:
    """One JSON object needs no finish reason to be complete."""
    answer = answer_to(json.dumps(text("a")).encode(), headers=JSON)
    assert answer.passed


@pytest.mark.parametrize(
    ("body", "fault", "detail"),
    [
        (b'{"error": "x"}', CanaryFault.ERROR_ITEM, "the answer is an error: 'x'"),
        (b'{"status": "ok"}', CanaryFault.WRONG_SHAPE, "the answer is not a completion: "),
        (b"", CanaryFault.WRONG_SHAPE, "the answer is not JSON: ''"),
        (b'{"choices": []}', CanaryFault.EMPTY, "the answer ended without a token"),
        (b" " * (2 << 20), CanaryFault.WRONG_SHAPE, "the answer is too large for one token"),
    ],
)
def test_a_bad_document_fails_as_a_bad_stream_does(
    body: bytes, fault: CanaryFault, detail: str
) -> None:
    """The same faults, in one object."""
    answer = answer_to(body, headers=JSON, size=1 << 16)
    assert answer.failure is not None
    assert answer.failure.fault is fault
    assert answer.failure.detail.startswith(detail)


def test_a_page_is_named_by_its_type_and_its_beginning() -> None:
    """A login page with an HTTP 200 is nobody's token."""
    answer = answer_to(b"<html>\n <title>Sign in", headers={"Content-Type": "text/html"})
    assert answer.failure is not None
    assert answer.failure.fault is CanaryFault.WRONG_SHAPE
    assert answer.failure.detail == (
        "'text/html' in place of an event stream: '<html> <title>Sign in'"
    )


def test_an_endless_error_page_is_not_read_to_its_end() -> None:
    """A bound on what is kept, and the answer is settled there."""
    reader = CompletionReader()
    reader.start(500, {"content-type": "text/html"})
    for _ in range(100):
        reader.feed(b"x" * 1000)
    assert reader.answer.finished
    assert reader.answer.failure is not None
    assert reader.answer.failure.status == 500


@pytest.mark.parametrize("name", ["canary", "canary-chat"])
def test_a_real_stream_without_done_and_without_text_is_a_proof(name: str) -> None:
    """`transformers serve` ends with its usage alone: one token, whose text is empty."""
    exchange = recorded(name, TRANSFORMERS)
    answer = answer_to(exchange.body, headers=exchange.headers, size=16)
    assert answer.passed, answer.failure
    assert answer.tokens == 1


def test_the_recorded_questions_are_those_that_are_asked() -> None:
    """What was recorded answers what is sent today."""
    asked = [json.loads(question.body) for question in OpenAiEngine().alternatives("tiny")]
    assert asked == [recorded(name, TRANSFORMERS).request for name in ("canary", "canary-chat")]


def test_another_servers_word_for_a_wrong_model_is_shown() -> None:
    """`transformers serve` says it with 400 and a detail."""
    exchange = recorded("error-model", TRANSFORMERS)
    answer = answer_to(exchange.body, status=exchange.status, headers=exchange.headers)
    assert str(answer.failure) == (
        "bad request (HTTP 400): \"Server is pinned to 'tiny'; requested 'nobody'.\""
    )
