"""The worker's metrics, read back by a parser of Prometheus text."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serinus import Runtime, Settings


async def generate(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Yield a token for each, fail where told to."""
    for token in request["token_ids"]:
        if token < 0:
            raise RuntimeError("CUDA error")
        yield {"token_ids": [token]}


def read(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def measured(endpoint_labels: list[tuple[str, str]] | None = None) -> dict[Any, float]:
    """Return the metrics after one good, one failed and one abandoned request."""
    clock = asyncio.get_running_loop().time
    settings = Settings(health_check_enabled=True)
    async with Runtime(settings, clock=clock, handle_signals=False) as runtime:
        endpoint = runtime.endpoint("n.c.e")
        await endpoint.register(
            generate, health_check_payload={"token_ids": [1]}, metrics_labels=endpoint_labels
        )
        await asyncio.sleep(1)
        assert [item async for item in endpoint.stream({"token_ids": [1, 2]})]
        with pytest.raises(RuntimeError, match="CUDA"):
            assert [item async for item in endpoint.stream({"token_ids": [1, -1]})]
        abandoned = endpoint.stream({"token_ids": [1, 2, 3]})
        await anext(abandoned)
        await abandoned.aclose()
        await asyncio.sleep(100)
        return read(runtime.metrics())


OURS = (("component", "c"), ("endpoint", "e"), ("namespace", "n"))


async def test_the_process_and_its_endpoint() -> None:
    """Readiness with the rule that decided, and the endpoint with its reason."""
    samples = await measured()
    assert samples["serinus_ready", (("rule", "endpoints_with_payload"),)] == 1
    assert samples["serinus_live", (("reason", "live"),)] == 1
    assert samples["serinus_endpoint_ready", (*OURS[:2], OURS[2], ("reason", "canary"))] == 1


async def test_canaries_are_counted_apart_from_users() -> None:
    """A hundred idle seconds bring canaries, and no request."""
    samples = await measured()
    passed = samples["serinus_canaries_total", (*OURS, ("outcome", "passed"))]
    assert passed > 9
    assert samples["serinus_requests_total", OURS] == 3
    assert samples["serinus_requests_in_flight", OURS] == 0
    assert samples["serinus_requests_finished_total", OURS] == 1
    assert samples["serinus_request_cancellations_total", OURS] == 1
    assert samples["serinus_chunks_total", OURS] == 4


async def test_failures_say_whose_fault_they_were() -> None:
    """A RuntimeError is the server's."""
    samples = await measured()
    by_fault = {
        dict(labels)["fault"]: value
        for (name, labels), value in samples.items()
        if name == "serinus_request_failures_total"
    }
    assert by_fault == {"client": 0, "server": 1, "timeout": 0, "transport": 0}


async def test_the_references_names_where_they_mean_the_same() -> None:
    """Dashboards made for the reference go on working."""
    samples = await measured([("model", 'tiny"one')])
    labels = (
        ("dynamo_component", "c"),
        ("dynamo_endpoint", "e"),
        ("dynamo_namespace", "n"),
        ("model", 'tiny"one'),
        ("worker_id", str(os.getpid())),
    )
    assert samples["dynamo_component_requests_total", labels] == 3
    assert samples["dynamo_component_inflight_requests", labels] == 0
    assert samples["dynamo_component_request_duration_seconds_count", labels] == 3
    assert samples["dynamo_component_uptime_seconds", (("worker_id", str(os.getpid())),)] >= 101
    errors = {
        dict(found)["error_type"]: value
        for (name, found), value in samples.items()
        if name == "dynamo_component_errors_total"
    }
    assert errors == {"generate": 1}
