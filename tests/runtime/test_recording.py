"""A worker that records: what is in its trace, and what it costs one that does not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serinus.core.evidence import CanaryPassed, Load, Progress, Registered
from serinus.errors import TraceError
from serinus.runtime.runtime import Runtime
from serinus.settings import Settings
from serinus.traces import Seen, read
from tests.runtime.benches import PAYLOAD
from tests.runtime.engines import Engine


def settings(file: Path | None) -> Settings:
    """Settings with canaries, and no status port."""
    record = None if file is None else str(file)
    return Settings(system_port=-1, health_check_enabled=True, record=record)


@pytest.mark.real_time
async def test_a_worker_records_its_endpoints_and_marks(tmp_path: Path) -> None:
    """Canaries, traffic and what it says itself; traffic is looked at every second."""
    file = tmp_path / "a.trace"
    async with Runtime(settings(file), handle_signals=False) as runtime:
        endpoint = runtime.endpoint("demo.backend.generate")
        await endpoint.register(Engine().generate, health_check_payload=PAYLOAD)
        await until(lambda: runtime.report().readiness.ready)
        runtime.mark("fault: nothing begins")
        stream = endpoint.stream({})
        await anext(stream)
        await until(lambda: Progress in kinds_in(file))  # a look, though nothing is due
        await stream.aclose()
        metrics = runtime.metrics().decode()
    assert "serinus_recording 1" in metrics
    trace = read(file)
    assert trace.finished
    assert [mark.text for mark in trace.marks] == ["fault: nothing begins"]
    kinds = kinds_in(file)
    assert kinds[0] is Registered
    assert CanaryPassed in kinds
    assert Load in kinds


async def until(claim: Callable[[], bool]) -> None:
    """Wait until a claim holds."""
    for _ in range(600):
        if claim():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("not within half a minute")


def kinds_in(file: Path) -> list[type]:
    """The kinds of evidence in a file."""
    return [type(one.evidence) for one in read(file).entries if isinstance(one, Seen)]


async def test_without_the_setting_nothing_is_recorded() -> None:
    """And a mark is no mistake."""
    loop = asyncio.get_running_loop()
    async with Runtime(settings(None), handle_signals=False, clock=loop.time) as runtime:
        runtime.mark("fault: nothing begins")
        assert "serinus_recording" not in runtime.metrics().decode()


async def test_a_recording_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    """It was asked for."""
    runtime = Runtime(settings(tmp_path / "no" / "where"), handle_signals=False)
    with pytest.raises(TraceError, match="nothing can be recorded there"):
        await runtime.__aenter__()


def test_who_does_not_record_does_not_import_it() -> None:
    """A worker's start pays for what it uses."""
    code = (
        "import sys, serinus.runtime.workings\n"
        "print([name for name in sys.modules if name.startswith('serinus.traces')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
