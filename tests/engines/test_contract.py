"""What holds for every engine in the list. A new engine is held to it by being in the list."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.evidence import CanaryFault
from serinus.engines import ENGINES, Blame, Counters, Engine, Pace, Question, progress
from serinus.engines.exposition import read_page
from serinus.errors import EngineError, LifecycleError
from tests.engines.answers import EVENTS, read, recorded, recorded_page, sse

every = pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
proving = pytest.mark.parametrize(
    "engine", [one for one in ENGINES if one.traits.proves], ids=lambda engine: engine.name
)
OPENAI = {"/v1/completions", "/v1/chat/completions"}
ONE_TOKEN = ("max_tokens", "max_new_tokens", "num_predict")
speaking_openai = pytest.mark.parametrize(
    "engine",
    [one for one in ENGINES if OPENAI & {asked.path for asked in one.alternatives("m")}],
    ids=lambda engine: engine.name,
)
listing_openai = pytest.mark.parametrize(
    "engine",
    [one for one in ENGINES if one.models_path == "/v1/models"],
    ids=lambda engine: engine.name,
)

reading_vllm = pytest.mark.parametrize(
    "engine",
    [one for one in ENGINES if {"vllm:generation_tokens_total", "vllm:num_requests_running"}
     <= one.metric_names and one.name != "triton"],
    ids=lambda engine: engine.name,
)  # fmt: skip

GOOD = ["stream-one", "stream", "stream-token-ids", "stream-usage", "stream-steady-usage"]
GOOD_CHATS = ["chat-stream", "chat-stream-token-ids", "chat-stream-usage"]
WHOLE = ["completion", "completion-ids", "completion-token-ids", "chat", "chat-token-ids"]


@every
def test_its_values_are_paths_and_a_plain_name(engine: Engine) -> None:
    """Settings know it by a lower-case word; its paths can be appended to an address."""
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)?", engine.name)
    paths = [engine.models_path, engine.health_path, engine.metrics_path or "/"]
    assert all(path.startswith("/") for path in paths)


@every
def test_its_traits_are_told_whole(engine: Engine) -> None:
    """What a judge has to know: from which release, counted how, what moves when, how to abort."""
    traits = engine.traits
    for text in (traits.release, traits.counted, traits.work, str(traits.abort)):
        assert text
        assert "\n" not in text
    assert traits.names.all <= engine.metric_names
    assert not set(traits.at_end) & traits.names.all, "what moves only at an end is not read"
    assert traits.steady == bool(traits.names.tokens or traits.names.steps)
    assert all(lie.sample and lie.how for lie in traits.lies)
    assert 0 <= traits.health_seconds < 60
    assert not (traits.health_generates and engine.health_is_free)


@proving
def test_its_canaries_ask_for_one_token_and_say_what_they_are(engine: Engine) -> None:
    """One token, streamed, without chance, marked for logs and proxies, the model by its name."""
    asked = engine.alternatives("my/model é")
    assert engine.canary("my/model é") == asked[0]
    for question in asked:
        body = json.loads(question.body)
        assert question.method == "POST"
        assert question.path.startswith("/")
        assert question.path.isascii()
        flat = {**body, **body.get("options", {}), **body.get("parameters", {})}
        flat |= body.get("sampling_params", {})
        asked_for = [flat[name] for name in ONE_TOKEN if name in flat]
        assert asked_for == [1]
        assert flat.get("temperature", 0) == 0
        assert not flat.get("do_sample", False)
        assert body.get("stream", question.path.endswith("_stream")) is True
        if question.path in OPENAI:
            assert body["model"] == "my/model é"
        headers = dict(question.headers)
        assert headers["x-serinus-canary"] == "1"
        assert headers["user-agent"].startswith("serinus-canary/")
        assert headers["content-type"] == "application/json"


@every
def test_its_canaries_carry_no_credentials(engine: Engine) -> None:
    """Keys are added by who sends, so that no question can leak one."""
    names = {name for question in engine.alternatives("m") for name, _ in question.headers}
    assert names - {"content-type"} == {"accept", "user-agent", "x-serinus-canary"}


@every
def test_a_question_is_the_same_each_time(engine: Engine) -> None:
    """Nothing of it depends on when it is asked."""
    assert engine.alternatives("m") == engine.alternatives("m")
    assert isinstance(engine.canary("m"), Question)


@speaking_openai
@pytest.mark.parametrize("name", GOOD + GOOD_CHATS)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_real_stream_is_a_proof(engine: Engine, name: str, size: int) -> None:
    """Every good stream recorded from vLLM passes, however it is cut into pieces."""
    exchange = recorded(name)
    answer = read(engine, exchange.body, headers=exchange.headers, size=size)
    assert answer.passed, answer.failure
    assert answer.items >= 1


@speaking_openai
@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("stream-one", 1),
        ("stream", 4),
        ("stream-token-ids", 2),
        ("stream-usage", 2),
        ("stream-steady-usage", 2),
        ("chat-stream-usage", 2),
        ("chat-stream-token-ids", 2),
        ("completion", 4),
        ("completion-token-ids", 2),
    ],
)
def test_tokens_are_counted_and_not_characters(engine: Engine, name: str, tokens: int) -> None:
    """Two of these streams have a token whose text is empty; it counts as any other."""
    exchange = recorded(name)
    assert read(engine, exchange.body, headers=exchange.headers).tokens == tokens


@speaking_openai
@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_in_one_document_is_a_proof_too(engine: Engine, name: str) -> None:
    """A server that does not stream has brought its token all the same."""
    exchange = recorded(name)
    assert read(engine, exchange.body, headers=exchange.headers, size=50).passed


@speaking_openai
def test_a_real_stream_of_a_dying_engine_fails(engine: Engine) -> None:
    """Tokens came, then the error: recorded while EngineCore was killed."""
    exchange = recorded("died-stream")
    body = exchange.body[exchange.body.index(b"data:") :]
    answer = read(engine, body, headers=exchange.headers)
    assert answer.failure is not None
    assert answer.failure.fault is CanaryFault.ERROR_ITEM
    assert answer.failure.blame is Blame.ENGINE
    assert "EngineCore encountered an issue" in answer.failure.detail
    assert answer.tokens > 0
    assert not answer.passed


@speaking_openai
def test_a_real_500_is_the_engines_fault(engine: Engine) -> None:
    """Recorded while EngineCore was killed."""
    exchange = recorded("died-plain")
    answer = read(engine, exchange.body, status=exchange.status, headers=exchange.headers)
    assert answer.failure is not None
    assert answer.failure.blame is Blame.ENGINE
    assert str(answer.failure).startswith(
        "the engine failed (HTTP 500): 'EngineCore encountered an issue"
    )


@speaking_openai
@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("error-unknown-model", "model not found (HTTP 404): 'The model `nobody` does not exist."),
        ("error-unknown-path", "the server has no such route (HTTP 404): 'Not Found'"),
        ("error-wrong-method", "the server has no such route (HTTP 405): 'Method Not Allowed'"),
        ("error-token-id", "bad request (HTTP 400): 'Token id 999999 is out of vocabulary'"),
        ("error-bad-json", "bad request (HTTP 400): "),
        ("error-too-long", "bad request (HTTP 400): "),
    ],
)
def test_a_real_4xx_is_the_canarys_fault(engine: Engine, name: str, detail: str) -> None:
    """A wrong question must not look like a sick engine."""
    exchange = recorded(name)
    answer = read(engine, exchange.body, status=exchange.status, headers=exchange.headers)
    assert answer.failure is not None
    assert answer.failure.fault is CanaryFault.ERROR_ITEM
    assert answer.failure.blame is Blame.CANARY
    assert answer.failure.status == exchange.status
    assert answer.failure.detail.startswith(detail)


@speaking_openai
@pytest.mark.parametrize("body", [b"", sse(), sse({"choices": []}), b": keep-alive\n\n"])
def test_an_answer_without_a_token_is_empty(engine: Engine, body: bytes) -> None:
    """An HTTP 200 and a well-formed end prove nothing."""
    answer = read(engine, body)
    assert answer.failure is not None
    if answer.items == 0 or body.endswith(b"[DONE]\n\n"):
        assert answer.failure.fault is CanaryFault.EMPTY
    assert answer.finished
    assert not answer.passed


@speaking_openai
def test_an_answer_that_breaks_off_is_of_the_wrong_shape(engine: Engine) -> None:
    """A token came, but neither [DONE] nor a finish reason: the stream was cut."""
    body = recorded("stream").body
    answer = read(engine, body[: body.index(b"data:", 10)])
    assert answer.failure is not None
    assert answer.failure.fault is CanaryFault.WRONG_SHAPE
    assert answer.failure.detail == (
        "the answer broke off after 1 token(s): neither [DONE] nor a finish_reason"
    )


@speaking_openai
def test_progress_of_an_answer_is_seen_before_its_end(engine: Engine) -> None:
    """The first item and token are known as soon as their event is complete."""
    reader = engine.answer_reader()
    reader.start(200, EVENTS)
    assert (reader.answer.items, reader.answer.finished) == (0, False)
    body = recorded("stream").body
    cut = body.index(b"\n\n") + 2
    reader.feed(body[:cut])
    assert (reader.answer.items, reader.answer.tokens) == (1, 1)
    assert not reader.answer.finished
    assert not reader.answer.passed
    reader.feed(body[cut:])
    assert reader.answer.passed


@speaking_openai
def test_what_comes_after_the_end_changes_nothing(engine: Engine) -> None:
    """[DONE] is the end: the caller may stop there or read on."""
    reader = engine.answer_reader()
    reader.start(200, EVENTS)
    reader.feed(recorded("stream-one").body)
    final = reader.answer
    reader.feed(sse({"error": "late"}))
    reader.end()
    reader.end()
    assert reader.answer == final
    assert final.passed


@every
def test_a_body_before_its_head_is_a_mistake_of_the_caller(engine: Engine) -> None:
    """It is told, not guessed."""
    with pytest.raises(LifecycleError, match=r"before start\(\)"):
        engine.answer_reader().feed(b"data: x\n\n")


@every
@given(body=st.binary(max_size=300), size=st.integers(1, 40), status=st.sampled_from([200, 500]))
def test_any_bytes_make_an_answer_and_never_a_proof(
    engine: Engine, body: bytes, size: int, status: int
) -> None:
    """Noise is a failure with a short detail, whatever it is and however it is cut."""
    answer = read(engine, body, size=size, status=status)
    assert answer == read(engine, body, status=status)
    assert answer.finished
    assert answer.failure is not None
    assert len(answer.failure.detail) < 400


@listing_openai
def test_models_are_listed(engine: Engine) -> None:
    """From the recorded answer, and from one without models, which is an answer too."""
    assert engine.read_models(recorded("models").body) == ("tiny",)
    assert engine.read_models(b'{"object": "list", "data": []}') == ()


@every
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"data": {}}', b'{"data": [3]}', b'{"data": [{"id": 3}]}'],
)
def test_another_shape_is_no_list_of_models(engine: Engine, body: bytes) -> None:
    """The engine broke the deal: an error with a short excerpt."""
    with pytest.raises(EngineError, match="not a list of models"):
        engine.read_models(body)


@reading_vllm
def test_a_real_page_tells_idle_from_busy(engine: Engine) -> None:
    """Running requests and what has been done, from vLLM's recorded pages."""
    pages = [read_page(recorded_page(name), names=engine.metric_names) for name in ("idle", "busy")]
    idle, busy = (engine.counters(page) for page in pages)
    assert (idle.pending, busy.pending) == (0.0, 4.0)
    assert progress(idle, busy) is True
    assert progress(busy, busy) is False
    assert progress(busy, idle) is None


@every
def test_an_empty_page_is_unknown_and_not_idle(engine: Engine) -> None:
    """A number that is not there is None, never zero."""
    assert engine.counters({}) == Counters()
    assert engine.counters({}).pending is None


@every
def test_its_pace_is_told_by_samples_that_it_has(engine: Engine) -> None:
    """Each way of knowing it needs its samples, and how many requests run."""
    traits, names = engine.traits, engine.traits.names
    own = bool(names.gaps and names.gap_seconds)
    needed = {
        Pace.UNKNOWN: not own,
        Pace.OWN: own,
        Pace.OWN_BY_STEP: own and bool(names.steps and names.prompts),
        Pace.OWN_APART: own,
        Pace.STEPS: not own and bool(names.steps and names.prompts and names.ended),
    }
    assert needed[traits.pace]
    assert traits.pace is Pace.UNKNOWN or names.running


@reading_vllm
def test_times_between_tokens_are_read_of_a_real_page(engine: Engine) -> None:
    """One for each token but a request's first, and what they add up to."""
    page = read_page(recorded_page("busy"), names=engine.metric_names)
    counters = engine.counters(page)
    assert counters.gaps == 2648.0
    assert counters.gap_seconds == pytest.approx(7.864, abs=0.001)
    assert counters.prompts == 2073.0


@every
def test_the_names_of_its_samples_are_all_it_reads(engine: Engine) -> None:
    """Leaving the other lines unparsed changes nothing."""
    page = recorded_page("busy")
    whole, part = read_page(page), read_page(page, names=engine.metric_names)
    assert engine.counters(whole) == engine.counters(part)
