"""The metrics page: readable by the client library of the engines themselves."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from serinus.sim.jobs import Finish, Order
from serinus.sim.metrics import Counter, Gauge, Histogram, page
from serinus.sim.observer import Ended, Step
from serinus.sim.vllm_metrics import VllmPage


def values(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Read a page into its samples."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def one(text: str, name: str, **labels: str) -> float:
    """Read one sample of vLLM's page."""
    own = {"engine": "0", "model_name": "tiny", **labels}
    return values(text)[(f"vllm:{name}", frozenset(own.items()))]


def test_a_page_is_written_as_the_client_library_writes_it() -> None:
    """Floats, labels in order of their names, cumulative buckets, and when counting began."""
    gauge = Gauge("a", "An a.", {"z": "1", "b": 'q"\\\n'}, value=2)
    counter = Counter("b_total", "A b.", {})
    histogram = Histogram("c", "A c.", (1, 2.5), {"l": "x"})
    counter.add(3, {})
    for value in (1, 2, 9):
        histogram.observe(value)
    assert page([gauge, counter, histogram], created=7.5).splitlines() == [
        "# HELP a An a.",
        "# TYPE a gauge",
        r'a{b="q\"\\\n",z="1"} 2.0',
        "# HELP b_total A b.",
        "# TYPE b_total counter",
        "b_total 3.0",
        "# HELP b_created A b.",
        "# TYPE b_created gauge",
        "b_created 7.5",
        "# HELP c A c.",
        "# TYPE c histogram",
        'c_bucket{l="x",le="1.0"} 1.0',
        'c_bucket{l="x",le="2.5"} 2.0',
        'c_bucket{l="x",le="+Inf"} 3.0',
        'c_count{l="x"} 3.0',
        'c_sum{l="x"} 12.0',
        "# HELP c_created A c.",
        "# TYPE c_created gauge",
        'c_created{l="x"} 7.5',
    ]


def test_steps_and_ends_arrive_in_vllms_families() -> None:
    """Gauges are the last step's, counters and histograms add up."""
    page = VllmPage(model="tiny", context=2048, capacity=100)
    shown = page.ranks[0]
    ended = Ended(
        Finish.LENGTH, Order((1,) * 6, 3), 3, total=2.0, queued=0.5, prefill=0.5, decode=1.0
    )
    shown.stepped(
        Step(3, 1, kept_tokens=25, prompt_tokens=6, computed_tokens=8, tokens=2, first_tokens=(1,))
    )
    shown.stepped(Step(2, 4, tokens=1, computed_tokens=1, gaps=(0.5,), ended=(ended,)))
    shown.refused()
    text = page.text()
    assert one(text, "num_requests_running") == 2
    assert one(text, "num_requests_waiting") == 4
    assert one(text, "num_requests_waiting_by_reason", reason="capacity") == 4
    assert one(text, "kv_cache_usage_perc") == 0
    assert one(text, "generation_tokens_total") == 3
    assert one(text, "prompt_tokens_total") == 6
    assert one(text, "request_success_total", finished_reason="length") == 1
    assert one(text, "request_success_total", finished_reason="abort") == 0
    assert one(text, "time_to_first_token_seconds_sum") == 1
    assert one(text, "inter_token_latency_seconds_count") == 1
    assert one(text, "request_time_per_output_token_seconds_sum") == 0.5
    assert one(text, "e2e_request_latency_seconds_bucket", le="2.0") == 1
    assert one(text, "e2e_request_latency_seconds_bucket", le="1.5") == 0
    refused = frozenset({"model_name": "tiny", "reason": "max_num_queued_reqs"}.items())
    assert values(text)[("vllm:admission_rejections_total", refused)] == 1
