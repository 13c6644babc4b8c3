"""Recognition: what weighs, what does not, and what is fetched."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.engines import ENGINES
from serinus.engines.counters import Counters, Samples
from serinus.engines.recognition import next_paths, recognised
from serinus.engines.sglang import SglangEngine
from serinus.engines.signs import Sighting


def page(path: str, body: object, **headers: str) -> Sighting:
    text = body if isinstance(body, str) else json.dumps(body)
    return Sighting(path, 200, headers, text.encode())


MODELS = page("/v1/models", {"object": "list", "data": [{"id": "m", "owned_by": "me"}]})


def test_a_proof_ends_the_fetching() -> None:
    """Where the list of models names the engine, nothing more is fetched."""
    first = [page("/v1/models", {"data": [{"id": "m", "owned_by": "sglang"}]})]
    assert next_paths(first) == ()
    assert recognised(first).name == "sglang"


def test_without_a_proof_the_rest_is_fetched_once() -> None:
    """Every path that any engine is recognised by, and none twice; never one that generates."""
    seen = [Sighting(path, 404) for path in next_paths([])]
    more = next_paths(seen)
    assert "/metrics" in more
    assert not {one.path for one in seen} & set(more)
    assert next_paths([*seen, *(Sighting(path, 404) for path in more)]) == ()
    assert "/health" not in {one.path for one in seen} | set(more)


def test_an_adapter_owned_by_somebody_does_not_hide_the_engine() -> None:
    """The base models say whose server it is."""
    entries = [{"id": "lora", "owned_by": "x", "parent": "m"}, {"id": "m", "owned_by": "vllm"}]
    assert recognised([page("/v1/models", {"data": entries})]).name == "vllm"


def test_a_version_alone_says_nothing() -> None:
    """Many servers have one."""
    finding = recognised([MODELS, page("/version", {"version": "1"})])
    assert str(finding) == ("openai: /v1/models lists 1 model(s), and nothing names another engine")
    assert recognised([page("/version", {"version": "1"})]).engine is None


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ("vllm:num_requests_running 1\n", "vllm"),
        ("dynamo_component_inflight_requests 1\nvllm:num_requests_running 1\n", "dynamo-worker"),
        ("dynamo_frontend_inflight_requests 1\n", "dynamo-frontend"),
        ("# HELP vllm:x in a comment\nother 1\n", None),
    ],
)
def test_a_page_tells_a_worker_from_the_engine_in_it(lines: str, kind: str | None) -> None:
    """A Dynamo worker's page has its engine's samples too."""
    assert recognised([page("/metrics", lines)]).name == kind


def test_what_was_tried_is_told_where_nothing_is_recognised() -> None:
    """Each path with what came of it, short and without secrets."""
    told = str(
        recognised(
            [
                Sighting("/v1/models", 401, {}, b"Bearer sk-abcdefgh12345678 " + b"x" * 5000),
                Sighting("/", trouble="no answer within 2 s"),
                Sighting("/v2", 404, {}, b"Not Found"),
            ]
        )
    )
    assert "/v1/models: 401 '" in told
    assert "sk-abcdefgh" not in told
    assert "/: no answer within 2 s" in told
    assert told.endswith("/v2: 404")
    assert len(told) < 500


@given(
    status=st.none() | st.integers(100, 599),
    body=st.binary(max_size=200) | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["data", "owned_by", "version", "name", "paths", "model_id"]),
            inner, max_size=3,
        ),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode()),
    path=st.sampled_from(sorted({sign.path for one in ENGINES for sign in one.signs})),
)  # fmt: skip
def test_any_answer_is_looked_at_without_a_mistake(
    status: int | None, body: bytes, path: str
) -> None:
    """Noise of any shape on any path comes to a finding or to none, and never raises."""
    finding = recognised([Sighting(path, status, {}, body)])
    assert isinstance(str(finding), str)


def test_processes_that_share_requests_count_them_once() -> None:
    """SGLang reports a request by each tensor-parallel rank, where all schedulers have metrics."""
    samples: Samples = {
        "sglang:num_running_reqs": [
            ({"tp_rank": rank, "dp_rank": dp}, 2.0) for rank in "01" for dp in "01"
        ]
    }
    assert SglangEngine().counters(samples) == Counters(running=4.0)
