"""Which tokens an engine gave, how likely each was, and what nearly came."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path

import pytest

from serinus.core.transcript import Transcript, Unit
from serinus.engines import ENGINES, Engine
from serinus.engines.capabilities import Transcribes, TranscriptReader
from serinus.engines.openai import OpenAiEngine
from serinus.engines.sglang import SglangEngine
from serinus.engines.transcripts import characters, margin, number, said_openai
from serinus.engines.vllm import VllmEngine
from tests.engines.answers import EVENTS, FIXTURES, pieces, recorded, sse
from tests.engines.test_fixtures import kind_of, label, named

GREEDY = named("greedy*")
UNITS = {
    ("vllm", "greedy"): Unit.ID,
    ("sglang", "greedy"): Unit.ID,
    ("sglang", "greedy-2"): Unit.TEXT,
    ("llamacpp", "greedy"): Unit.ID,
    ("llamacpp", "greedy-2"): Unit.ID,
    ("tgi", "greedy"): Unit.ID,
    ("trtllm", "greedy"): Unit.TEXT,
    ("ollama", "greedy"): Unit.TEXT,
    ("ollama", "greedy-text"): Unit.CHARACTER,
}
"""By what each answer is told."""
WITHOUT_MARGINS = {("trtllm", "greedy"), ("ollama", "greedy-text")}
EXAMINED = [engine for engine in ENGINES if isinstance(engine, Transcribes)]


def heard(reader: TranscriptReader, body: bytes, *, size: int = 1 << 20) -> Transcript:
    """Let a reader read an event stream in pieces."""
    reader.start(200, EVENTS)
    for piece in pieces(body, size):
        reader.feed(piece)
    reader.end()
    return reader.transcript


@pytest.mark.parametrize(("folder", "name"), GREEDY, ids=label)
@pytest.mark.parametrize("size", [1, 13, 1 << 20])
def test_a_greedy_answer_is_transcribed(folder: Path, name: str, size: int) -> None:
    """What was recorded, or written, answers what is asked today, and any pieces give the same."""
    engine, exchange = kind_of(folder), recorded(name, folder)
    assert isinstance(engine, Transcribes)
    body = exchange.request
    prompt = body.get("prompt") or body.get("inputs") or body.get("text")
    if prompt is None:
        prompt = body["messages"][0]["content"]
    tokens = max(
        value
        for fields in (
            body,
            body.get("parameters"),
            body.get("sampling_params"),
            body.get("options"),
        )
        for key, value in (fields or {}).items()
        if key in {"max_tokens", "max_new_tokens", "num_predict"}
    )
    asked = [
        (one.method, one.path, json.loads(one.body))
        for one in engine.greedy("tiny", prompt, tokens=tokens)
    ]
    assert (exchange.method, exchange.path, body) in asked
    reader = engine.transcript_reader()
    reader.start(exchange.status, exchange.headers)
    for piece in pieces(exchange.body, size):
        reader.feed(piece)
    reader.end()
    assert reader.answer.passed, reader.answer.failure
    said, which = reader.transcript, (engine.name, name)
    assert said.by is UNITS[which]
    assert (said.margins is None) is (which in WITHOUT_MARGINS)
    if said.by is not Unit.CHARACTER:
        assert len(said.tokens) == tokens
        assert said.logprobs is not None
        assert all(one <= 0 for one in said.logprobs)
    assert said.unsound is None
    assert said.text


def test_every_engine_that_is_said_to_tell_has_a_fixture() -> None:
    """Those without one have the shape of any server of OpenAI's API."""
    assert {engine.name for engine in EXAMINED} - {kind for kind, _ in UNITS} == {
        "openai",
        "transformers",
    }
    assert {(kind_of(folder).name, name) for folder, name in GREEDY} == set(UNITS)


@pytest.mark.parametrize("engine", EXAMINED, ids=lambda one: one.name)
def test_the_question_is_without_chance(engine: Engine) -> None:
    """Temperature 0 or no sampling, a stream, the prompt and the tokens that are asked for."""
    assert isinstance(engine, Transcribes)
    for question in engine.greedy("tiny", "PROMPT", tokens=17):
        body = question.body.decode()
        assert '"temperature":0' in body or '"do_sample":false' in body
        assert '"PROMPT"' in body
        assert ":17" in body
        assert question.path.endswith("_stream") or '"stream":true' in body
        assert ("x-serinus-canary", "1") in question.headers


def test_sglang_may_send_the_whole_answer_each_time_or_what_came() -> None:
    """By a flag of its; the count of tokens tells which."""

    def event(ids: list[int], count: int) -> dict[str, object]:
        told = [[-0.5, token, None] for token in ids]
        meta = {"output_token_logprobs": told, "completion_tokens": count, "finish_reason": None}
        return {"text": "x" * len(ids), "meta_info": meta}

    whole = sse(event([7], 1), event([7, 7], 2), event([7, 7, 9], 3))
    parts = sse(event([7], 1), event([7], 2), event([9], 3))
    for body in (whole, parts):
        said = heard(SglangEngine().transcript_reader(), body)
        assert said.tokens == (7, 7, 9)
        assert said.text == "xxx"


def test_null_is_no_number() -> None:
    """JSON has no NaN: pydantic writes null, and some write NaN all the same."""
    for word in ("null", "NaN"):
        event = (
            '{"choices":[{"text":"!","token_ids":[0],"logprobs":{"tokens":["!"],'
            f'"token_logprobs":[{word}],"top_logprobs":[{{"!":{word},"a":{word}}}]}}}}]}}'
        )
        said = heard(VllmEngine().transcript_reader(), f"data: {event}\n\n".encode())
        assert said.tokens == (0,)
        assert said.numberless
        assert said.margins == (0.0,)


def test_ids_without_numbers_are_tokens_all_the_same() -> None:
    """A chunk may bring more ids than numbers, or none of these."""
    choice = {"text": "ab", "token_ids": [1, 2], "logprobs": None}
    said = said_openai({"choices": [choice]})
    assert (said.tokens, said.logprobs, said.margins) == ((1, 2), None, None)
    numbers = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [{"a": -1.0, "b": -2.0}]}
    said = said_openai({"choices": [{**choice, "logprobs": numbers}]})
    assert (said.tokens, said.logprobs) == ((1, 2), None)


def test_columns_of_another_length_are_not_taken() -> None:
    """Numbers stand beside their tokens, or nowhere."""
    numbers = {"tokens": ["a", "b"], "token_logprobs": [-1.0], "top_logprobs": [{"a": -1, "c": -2}]}
    said = said_openai({"choices": [{"text": "ab", "logprobs": numbers}]})
    assert (said.tokens, said.logprobs, said.margins) == (("a", "b"), None, None)
    numbers = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [{"a": -1.0}]}
    said = said_openai({"choices": [{"text": "a", "logprobs": numbers}]})
    assert (said.logprobs, said.margins) == ((-1.0,), None)


@pytest.mark.parametrize(
    "item",
    [
        None,
        [],
        {},
        {"choices": []},
        {"choices": ["x"]},
        {"choices": [{"logprobs": {"content": []}}]},
    ],
)
def test_what_brings_nothing_brings_nothing(item: object) -> None:
    """Whatever its shape."""
    assert said_openai(item) == Transcript()


def test_text_alone_is_told_by_its_characters() -> None:
    """Of a chat too; where chunks are cut is the server's whim."""
    one = heard(
        OpenAiEngine().transcript_reader(), sse({"choices": [{"delta": {"content": "abc"}}]})
    )
    two = [{"choices": [{"delta": {"content": part}}]} for part in ("a", "bc")]
    assert heard(OpenAiEngine().transcript_reader(), sse(*two)) == one
    assert one == Transcript(("a", "b", "c"), text="abc", by=Unit.CHARACTER)
    assert characters("") == Transcript()
    reasoning = {"choices": [{"delta": {"content": None, "reasoning_content": "hm"}}]}
    assert said_openai(reasoning).text == "hm"


def test_a_chats_tokens_are_told_by_their_texts() -> None:
    """And by ids where the server has them."""
    listed = [
        {"token": "a", "logprob": -1.0, "top_logprobs": [{"logprob": -1.0}, {"logprob": -3.0}]}
    ]
    said = said_openai({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": listed}}]})
    assert said == Transcript(("a",), (-1.0,), (2.0,), "a", Unit.TEXT)
    by_id = [{**listed[0], "id": 7}]
    said = said_openai({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": by_id}}]})
    assert (said.tokens, said.by) == ((7,), Unit.ID)
    bare = said_openai({"choices": [{"text": "a", "logprobs": {"content": [{"token": "a"}]}}]})
    assert (bare.tokens, bare.logprobs, bare.margins) == (("a",), None, None)


def test_an_error_brings_no_token() -> None:
    """It fails the answer, as it does of any canary."""
    reader = VllmEngine().transcript_reader()
    heard(reader, sse({"error": {"message": "CUDA error"}}))
    assert reader.answer.failure is not None
    assert reader.transcript == Transcript()


def test_numbers_that_are_none_are_nan() -> None:
    """A text, a truth, nothing."""
    assert [isnan(number(told)) for told in (None, "x", True, -1, 0.5)] == [True] * 3 + [False] * 2
    assert margin(-1.0, [-0.5, -1.0]) == 0.0
    assert margin(-1.0, [-1.0]) == 0.0


def test_fixtures_are_where_they_are_looked_for() -> None:
    """One of each engine that tells more than text."""
    assert len(GREEDY) == len(UNITS)
    assert FIXTURES.is_dir()
