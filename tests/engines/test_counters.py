from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.engines import (
    CounterNames,
    Counters,
    Samples,
    engine_named,
    progress,
    read_counters,
)
from serinus.engines.openai import OpenAiEngine
from serinus.engines.vllm import VllmEngine

NAMES = CounterNames(running=("r",), waiting=("w",), tokens=("t", "u"), finished=("f",))
numbers = st.none() | st.integers(0, 3).map(float)
readings = st.builds(Counters, tokens=numbers, steps=numbers, finished=numbers)


def test_samples_are_added_over_engines_models_and_names() -> None:
    """One number for the whole server."""
    page: Samples = {
        "r": [({"engine": "0"}, 1.0), ({"engine": "1"}, 2.0)],
        "t": [({"model_name": "a"}, 10.0), ({"model_name": "b"}, 5.0)],
        "u": [({}, 1.0)],
    }
    assert read_counters(page, NAMES) == Counters(running=3.0, tokens=16.0)


def test_what_is_not_on_the_page_is_unknown() -> None:
    """None, never zero."""
    assert read_counters({"w": [({}, 0.0)]}, NAMES) == Counters(waiting=0.0)
    assert read_counters({"w": []}, NAMES) == Counters()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_unknown(value: float) -> None:
    """A gauge may be NaN before its first reading."""
    assert read_counters({"r": [({}, value)]}, NAMES).running is None
    assert read_counters({"r": [({}, value), ({}, 2.0)]}, NAMES).running == 2.0


def test_requests_that_were_given_up_are_not_finished() -> None:
    """On a hung engine callers give up in numbers; that is no progress."""
    page = {
        "vllm:request_success_total": [
            ({"finished_reason": "length"}, 3.0),
            ({"finished_reason": "stop"}, 2.0),
            ({"finished_reason": "abort"}, 50.0),
            ({"finished_reason": "error"}, 7.0),
        ]
    }
    assert VllmEngine().counters(page).finished == 5.0


@pytest.mark.parametrize(
    ("running", "waiting", "pending"),
    [(None, None, None), (1.0, None, 1.0), (None, 2.0, 2.0), (1.0, 2.0, 3.0), (0.0, 0.0, 0.0)],
)
def test_pending_is_what_is_known_of_running_and_waiting(
    running: float | None, waiting: float | None, pending: float | None
) -> None:
    """Unknown only while neither is known."""
    assert Counters(running=running, waiting=waiting).pending == pending


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        (Counters(tokens=1), Counters(tokens=2), True),
        (Counters(steps=1), Counters(steps=2), True),
        (Counters(finished=1), Counters(finished=2), True),
        (Counters(tokens=1, finished=1), Counters(tokens=1, finished=2), True),
        (Counters(tokens=1), Counters(tokens=1), False),
        (Counters(tokens=1, finished=1), Counters(tokens=1, finished=1), False),
        (Counters(finished=1), Counters(finished=1), None),
        (Counters(tokens=9, steps=1), Counters(tokens=0, steps=2), None),
        (Counters(tokens=9, finished=1), Counters(tokens=10, finished=0), None),
        (Counters(), Counters(), None),
        (Counters(tokens=1), Counters(), None),
        (Counters(), Counters(tokens=1), None),
        (Counters(running=1), Counters(running=2), None),
    ],
)
def test_progress_is_a_counter_that_went_up(
    before: Counters, after: Counters, moved: bool | None
) -> None:
    """Down is a restart, missing is unknown, and only tokens or steps can be seen to stand."""
    assert progress(before, after) is moved


@given(readings, readings)
def test_progress_is_never_made_up(before: Counters, after: Counters) -> None:
    """True needs a counter that went up, False one that stood still, and neither a reset."""
    pairs = [
        (old, new)
        for old, new in (
            (before.tokens, after.tokens),
            (before.steps, after.steps),
            (before.finished, after.finished),
        )
        if old is not None and new is not None
    ]
    moved = progress(before, after)
    if any(new < old for old, new in pairs):
        assert moved is None
    elif moved is True:
        assert any(new > old for old, new in pairs)
    elif moved is False:
        assert pairs
        assert all(new == old for old, new in pairs)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (
            {
                "sglang:num_running_reqs": [({}, 2.0)],
                "sglang:num_queue_reqs": [({}, 1.0)],
                "sglang:generation_tokens_total": [({}, 99.0)],
                "sglang:e2e_request_latency_seconds_count": [({}, 4.0)],
            },
            Counters(running=2.0, waiting=1.0, finished=4.0),
        ),
        (
            {
                "sglang:realtime_tokens_total": [
                    ({"mode": "decode"}, 40.0),
                    ({"mode": "prefill_compute"}, 300.0),
                ]
            },
            Counters(tokens=340.0),
        ),
        (
            {
                "llamacpp:requests_processing": [({}, 1.0)],
                "llamacpp:requests_deferred": [({}, 3.0)],
                "llamacpp:n_decode_total": [({}, 125.0)],
                "llamacpp:tokens_predicted_total": [({}, 394.0)],
            },
            Counters(running=1.0, waiting=3.0, steps=125.0),
        ),
        (
            {
                "tgi_batch_current_size": [({}, 2.0)],
                "tgi_queue_size": [({}, 0.0)],
                "tgi_batch_inference_success": [({"method": "decode"}, 8.0)],
                "tgi_request_success": [({}, 1.0)],
            },
            Counters(running=2.0, waiting=0.0, steps=8.0, finished=1.0),
        ),
    ],
    ids=["SGLang", "SGLang, newer", "llama-server", "TGI"],
)
def test_openais_kin_are_known_by_their_own_names(
    page: dict[str, list[tuple[dict[str, str], float]]], expected: Counters
) -> None:
    """What moves only when a request ends is not taken for tokens: a long one is no standstill."""
    assert OpenAiEngine().counters(page) == expected


@pytest.mark.parametrize(
    ("name", "page", "expected"),
    [
        (
            "sglang",
            {
                "sglang:num_running_reqs": [({}, 2.0)],
                "sglang:realtime_tokens_total": [
                    ({"mode": "decode", "tp_rank": "0"}, 40.0),
                    ({"mode": "prefill_compute", "tp_rank": "0"}, 300.0),
                    ({"mode": "prefill_compute", "tp_rank": "1"}, 290.0),
                    ({"mode": "prefill_cache", "tp_rank": "0"}, 7000.0),
                ],
                "sglang:inter_token_latency_seconds_count": [({}, 38.0)],
                "sglang:inter_token_latency_seconds_sum": [({}, 1.9)],
            },
            Counters(running=2.0, tokens=7340.0, prompts=300.0, gaps=38.0, gap_seconds=1.9),
        ),
        (
            "sglang",
            {"sglang_realtime_tokens_total": [({"mode": "decode"}, 40.0)]},
            Counters(tokens=40.0),
        ),
        (
            "tgi",
            {
                "tgi_batch_current_size": [({}, 2.0)],
                "tgi_batch_inference_duration_count": [
                    ({"method": "prefill"}, 3.0),
                    ({"method": "decode"}, 80.0),
                ],
                "tgi_batch_inference_duration_sum": [
                    ({"method": "prefill"}, 9.0),
                    ({"method": "decode"}, 1.6),
                ],
            },
            Counters(running=2.0, gaps=80.0, gap_seconds=1.6),
        ),
    ],
    ids=["SGLang", "SGLang without a prompt", "TGI"],
)
def test_what_is_of_prompts_is_told_by_a_label(
    name: str, page: dict[str, list[tuple[dict[str, str], float]]], expected: Counters
) -> None:
    """Prompts out of a cache take no time; a prefill is no time between two tokens."""
    assert engine_named(name).counters(page) == expected
