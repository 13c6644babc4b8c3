"""Prometheus text, held to the reference client's own parser."""

from __future__ import annotations

import math
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serinus.status import Exposition, HistogramLabels, labels
from serinus.status.process.telemetry import Telemetry


def parsed(text: bytes) -> dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]]:
    """Parse to family name → {(sample name, labels): value}."""
    return {
        family.name: {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for sample in family.samples
        }
        for family in text_string_to_metric_families(text.decode())
    }


def test_counters_and_gauges() -> None:
    """Values of all sizes, with and without labels."""
    exposition = Exposition()
    exposition.counter("a_total", "Counts.", [(labels({"x": "1"}), 3), (labels({"x": "2"}), 2**60)])
    exposition.gauge("b", "Measures.", [("", 0.1)])
    assert parsed(exposition.render()) == {
        "a": {("a_total", (("x", "1"),)): 3.0, ("a_total", (("x", "2"),)): float(2**60)},
        "b": {("b", ()): 0.1},
    }


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e-9, 1e300, -0.0])
def test_unusual_numbers(value: float) -> None:
    """Infinities and the very small and large come through."""
    exposition = Exposition()
    exposition.gauge("a", "Measures.", [("", value)])
    assert parsed(exposition.render())["a"]["a", ()] == value


def test_not_a_number() -> None:
    """NaN is written as Prometheus writes it."""
    exposition = Exposition()
    exposition.gauge("a", "Measures.", [("", math.nan)])
    assert exposition.render().endswith(b"\na NaN\n")


@pytest.mark.parametrize("value", ['"', "\\", "\n", '\\"\n', "ü", "", "a,b={}"])
def test_label_values_are_escaped(value: str) -> None:
    """Any text is a label's value."""
    exposition = Exposition()
    exposition.gauge("a", "Measures.", [(labels({"x": value, "y": "z"}), 1)])
    assert parsed(exposition.render())["a"] == {("a", (("x", value), ("y", "z"))): 1.0}


def test_a_meaning_may_have_lines() -> None:
    """HELP stays on one line."""
    exposition = Exposition()
    exposition.gauge("a", "One\ntwo \\ three", [("", 1)])
    (family,) = text_string_to_metric_families(exposition.render().decode())
    assert family.documentation == "One\ntwo \\ three"


@pytest.mark.parametrize("pairs", [{}, {"x": "1"}])
def test_histograms(pairs: dict[str, str]) -> None:
    """Buckets are cumulative, end with +Inf, and agree with the count."""
    exposition = Exposition()
    series = HistogramLabels(labels(pairs), (0.1, 1.0))
    exposition.histogram("a_seconds", "Times.", [(series, (1, 0, 2), 7.5)])
    own = tuple(pairs.items())
    assert parsed(exposition.render())["a_seconds"] == {
        ("a_seconds_bucket", (("le", "0.1"), *own)): 1.0,
        ("a_seconds_bucket", (("le", "1.0"), *own)): 1.0,
        ("a_seconds_bucket", (("le", "+Inf"), *own)): 3.0,
        ("a_seconds_sum", own): 7.5,
        ("a_seconds_count", own): 3.0,
    }


def test_counts_must_fit_the_buckets() -> None:
    """A count too few is a mistake, not a shorter histogram."""
    series = HistogramLabels("", (0.1, 1.0))
    with pytest.raises(ValueError, match="shorter"):
        Exposition().histogram("a", "Times.", [(series, (1, 0), 7.5)])


def test_a_thousand_endpoints_cost_milliseconds() -> None:
    """Ten metrics of a thousand endpoints: a few ms, with room for a busy machine."""
    rendered = [labels({"dynamo_endpoint": f"endpoint{number}"}) for number in range(1000)]
    best, text = math.inf, b""
    for _ in range(5):
        start = time.perf_counter()
        exposition = Exposition()
        for number in range(10):
            exposition.counter(f"m{number}_total", "Counts.", ((label, 7) for label in rendered))
        text = exposition.render()
        best = min(best, time.perf_counter() - start)
    assert text.count(b"\n") == 10 * 1002
    assert best < 0.05


def test_the_status_process_s_own_metrics() -> None:
    """They are written without this module, and are as well formed."""
    telemetry = Telemetry()
    telemetry.answers('/odd"path', 200)[0] += 2
    telemetry.evicted("limit")
    text = telemetry.render(
        connections=4,
        states=[("running", True), ("dead", False)],
        loop_age=0.25,
        thread_age=0.5,
        document_ages=[("health", 1.5)],
    )
    families = parsed(text)
    requests = families["serinus_status_requests"]
    key = (("code", "200"), ("path", '/odd"path'))
    assert requests["serinus_status_requests_total", key] == 2.0
    assert families["serinus_status_connections"]["serinus_status_connections", ()] == 4.0
    states = families["serinus_status_worker_state"]
    assert states["serinus_status_worker_state", (("state", "running"),)] == 1.0
    assert states["serinus_status_worker_state", (("state", "dead"),)] == 0.0
