"""The simulated vLLM answers as the recorded real one did: statuses, keys, errors, metric names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.sim.client import Answer, simulating
from tests.sim.recording import exchanges

FIXTURES = Path(__file__).parent / "fixtures" / "vllm-0.32"
CONTEXT = 2048  # as the recorded server had it

# What a real tokenizer says and a list of words does not.
OTHER_WORDS = {
    "error-bad-json": "the decoder's own words and place",
    "error-bad-prompt": "one complaint for each form that a prompt might have had",
}


def recorded(name: str) -> Any:
    """Read one recorded exchange."""
    return json.loads((FIXTURES / f"{name}.json").read_text())


def skeleton(value: Any) -> Any:
    """Reduce JSON to its keys and the kinds of its values; a list is the kinds of its items."""
    if isinstance(value, dict):
        return {key: skeleton(each) for key, each in value.items()}
    if isinstance(value, list):
        kinds: list[Any] = []
        for each in map(skeleton, value):
            if each not in kinds:
                kinds.append(each)
        return kinds
    return type(value).__name__


def events(text: str) -> list[Any]:
    """Reduce a stream to the skeletons of its events, those that follow one another joined."""
    seen: list[Any] = []
    for part in filter(None, text.split("\n\n")):
        data = part.removeprefix("data: ")
        kind = data if data == "[DONE]" else skeleton(json.loads(data))
        if not seen or seen[-1] != kind:
            seen.append(kind)
    return seen


def shape(text: str, content_type: str) -> Any:
    """Reduce a body to what a reader relies on."""
    if content_type.startswith("text/event-stream"):
        return events(text)
    return skeleton(json.loads(text)) if text else ""


@pytest.mark.real_time
@pytest.mark.parametrize("name", sorted(exchanges()))
async def test_an_answer_has_the_status_and_the_keys_of_the_real_one(name: str) -> None:
    """Each recorded exchange, asked again of the simulator."""
    method, path, body, raw = exchanges()[name]
    real = recorded(name)
    async with simulating(context=CONTEXT) as client:
        if raw is None:
            answer = await client.ask(method, path, json=body)
        else:
            answer = await client.ask(method, path, data=raw)
    assert answer.status == real["status"]
    real_type = real["headers"].get("content-type", "")
    if real["body"]:
        assert answer.headers["content-type"] == real_type
    assert answer.headers.get("allow") == real["headers"].get("allow")
    assert shape(answer.text, real_type) == shape(real["body"], real_type)


@pytest.mark.real_time
@pytest.mark.parametrize("name", sorted(name for name in exchanges() if name.startswith("error")))
async def test_an_error_says_what_the_real_one_says(name: str) -> None:
    """Type, parameter and code of each recorded error, and its words where they can be the same."""
    method, path, body, raw = exchanges()[name]
    real = json.loads(recorded(name)["body"])
    async with simulating(context=CONTEXT) as client:
        sent = {"json": body} if raw is None else {"data": raw}
        answer = await client.ask(method, path, **sent)
    if "error" not in real:
        assert "error" not in answer.json
        return
    assert answer.json["error"]["type"] == real["error"]["type"]
    assert answer.json["error"]["code"] == real["error"]["code"]
    if name not in OTHER_WORDS:
        assert answer.json == real


@pytest.mark.real_time
async def test_a_failing_engine_is_told_as_the_real_one_tells_it() -> None:
    """A plain request gets 500; a stream gets an error item, and still its closing mark."""
    async with simulating() as client:
        client.fault("error")
        plain, stream = await client.complete(), await client.complete(stream=True)
    real = recorded("died-plain")
    assert plain.status == real["status"]
    assert skeleton(plain.json) == skeleton(json.loads(real["body"]))
    _, *closing = events(recorded("died-stream")["body"].removeprefix("…").split("\n\n", 1)[1])
    assert events(stream.text) == closing


@pytest.mark.real_time
async def test_load_is_nought_unless_it_is_tracked() -> None:
    """As with `--enable-server-load-tracking`, which the recorded server had."""
    for tracking, load in ((True, 1), (False, 0)):
        async with simulating(load_tracking=tracking) as client:
            client.fault("hang")
            body = {"prompt": [1], "max_tokens": 1, "stream": True}
            async with client.session.post(
                client.simulator.url + "/v1/completions", json=body
            ) as held:
                assert held.status == 200
                answer = await client.get("/load")
        assert answer.json == {"server_load": load}


def families(page: str) -> dict[str, tuple[str, set[tuple[str, frozenset[str], str]]]]:
    """Reduce a page to vLLM's families: kind, and for each sample its name, labels and bucket."""
    return {
        family.name: (
            family.type,
            {
                (sample.name, frozenset(sample.labels), sample.labels.get("le", ""))
                for sample in family.samples
            },
        )
        for family in text_string_to_metric_families(page)
        if family.name.startswith("vllm:")
    }


@pytest.mark.real_time
@pytest.mark.parametrize("page", ["idle", "busy"])
async def test_the_metrics_page_has_every_name_label_and_bucket(page: str) -> None:
    """All of vLLM's families; `cache_config_info` alone has fewer labels."""
    async with simulating(context=CONTEXT) as client:
        if page == "busy":
            await client.complete(max_tokens=20)
        answer: Answer = await client.get("/metrics")
    assert re.match(r"text/plain; version=\d", answer.headers["content-type"])
    ours = families(answer.text)
    real = families((FIXTURES / f"metrics-{page}.txt").read_text())
    assert ours.pop("vllm:cache_config_info")[0] == real.pop("vllm:cache_config_info")[0]
    assert ours == real


def test_no_recording_is_left_unread() -> None:
    """Each file of the recording is asked for by a test."""
    others = {"died-plain", "died-stream", "load-busy", "greedy"}  # tests/engines reads the last
    assert skeleton(json.loads(recorded("load-busy")["body"])) == {"server_load": "int"}
    assert {path.stem for path in FIXTURES.glob("*.json")} == set(exchanges()) | others
