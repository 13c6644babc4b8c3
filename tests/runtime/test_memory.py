"""What was learned survives a restart; its loss, and anything wrong with it, is a cold start."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from serinus import Runtime
from serinus.core.budget import Purse
from serinus.core.deadlines import Learned, Spread
from serinus.core.performance import Usual
from serinus.errors import SettingsError
from serinus.runtime.memory import Memory
from serinus.settings import Settings
from tests.runtime.benches import ADDRESS, PAYLOAD, Bench
from tests.runtime.engines import Engine

LEARNED = Learned(Spread(50, -3.0, 0.2, 0.3), Spread(90, -1.0, 0.1, 1.5), 0.4, beside=True)
FIRST = Usual(40, -3.5)
NOTHING = (Purse(), Purse())


def written(path: Path, *, engine: str = "vllm, tiny") -> dict[str, Any]:
    """Write a memory of one endpoint; return what is in the file."""
    memory = Memory(path)
    assert memory.keep([(ADDRESS, engine, LEARNED._replace(owed=0), FIRST, NOTHING, None)])
    memory.write()
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Of the same engine; what is owed begins anew, and nothing else is left in the folder."""
    path = tmp_path / "state"
    written(path)
    memory = Memory(path)
    memory.load()
    known = memory.recall(ADDRESS, "vllm, tiny")
    assert known is not None
    assert (known.learned, known.first) == (LEARNED, FIRST)
    assert memory.recall(ADDRESS, "vllm, another") is None
    assert memory.recall("a.b.c", "vllm, tiny") is None
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_again_is_not_worth_writing(tmp_path: Path) -> None:
    """Seldom means never, where nothing is learned."""
    memory = Memory(tmp_path / "state")
    told = [(ADDRESS, "vllm, tiny", LEARNED, FIRST, NOTHING, None)]
    assert memory.keep(told)
    memory.write()
    assert not memory.keep(told)


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.update(serinus_state=2),
        lambda told: told.pop("serinus_state"),
        lambda told: told.update(endpoints=[1]),
        lambda told: told["endpoints"][ADDRESS].pop("gaps"),
        lambda told: told["endpoints"][ADDRESS].update(canaries=[1, 2]),
        lambda told: told["endpoints"][ADDRESS].update(canaries=[-1, 0, 0, 0]),
        lambda told: told["endpoints"][ADDRESS].update(canaries=[5, 1e9, 0, 0]),
        lambda told: told["endpoints"][ADDRESS].update(canaries=[5, 0, -1, 0]),
        lambda told: told["endpoints"][ADDRESS].update(canaries=[5, float("nan"), 0, 0]),
        lambda told: told["endpoints"][ADDRESS].update(on_top="long"),
        lambda told: told["endpoints"][ADDRESS].update(first=None),
    ],
)
def test_what_cannot_be_read_is_a_warning_and_a_cold_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Any
) -> None:
    """Of a newer version, of another kind, or with a number that is none."""
    path = tmp_path / "state"
    content = written(path)
    change(content)
    path.write_text(json.dumps(content))
    memory = Memory(path)
    memory.load()
    assert memory.recall(ADDRESS, "vllm, tiny") is None
    assert "what was learned is not taken over" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_any_bytes_are_a_cold_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """Torn, empty, or not ours."""
    path = tmp_path / "state"
    path.write_bytes(content)
    Memory(path).load()
    assert len(caplog.records) == 1


def test_a_file_that_is_not_there_is_the_first_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And no warning."""
    Memory(tmp_path / "state").load()
    assert not caplog.records


@pytest.mark.parametrize(
    ("place", "why"),
    [("missing/state", "its folder is not there"), ("folder", "it is a folder")],
)
async def test_a_path_that_can_never_be_written_stops_the_start(
    tmp_path: Path, place: str, why: str
) -> None:
    """A mistake is told when it can be mended, and not when what was learned is lost."""
    (tmp_path / "folder").mkdir()
    path = str(tmp_path / place)
    with pytest.raises(SettingsError) as caught:
        async with Runtime(Settings(state_file=path), handle_signals=False):
            pytest.fail("it started")
    assert str(caught.value) == (
        f"state_file: {path!r} cannot be written: {why}; accepted: a path in a folder that is "
        "there and can be written"
    )


def test_a_folder_that_may_not_be_written_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose file system is read-only."""
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(
        SettingsError, match="cannot be written: this process may not, in its folder"
    ):
        Memory(tmp_path / "state").load()


def test_a_folder_that_goes_away_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Judging goes on."""
    memory = Memory(tmp_path / "missing" / "state")
    memory.keep([(ADDRESS, "vllm, tiny", LEARNED, FIRST, NOTHING, None)])
    memory.write()
    assert "cannot be kept" in caplog.text


async def test_an_endpoint_that_is_known_begins_with_what_was_learned(tmp_path: Path) -> None:
    """After the first words confirmed that it is well; another engine's times are not its own."""
    async with Bench() as bench:
        await bench.serve(Engine())
        (watched,) = bench.board.endpoints.values()
        memory = bench.board.memory = Memory(tmp_path / "state")
        memory.keep([(ADDRESS, "vllm, tiny", LEARNED, FIRST, NOTHING, None)])
        bench.board.identify(watched, "vllm, tiny")
        assert watched.target.learned == LEARNED
        assert watched.target.rules == watched.target.configured
        await asyncio.sleep(60)
        assert watched.target.rules.doubt > 0
        assert watched.gauge is not None
        assert watched.gauge.first.samples >= FIRST.samples
        bench.board.identify(watched, "vllm, another")
        assert watched.target.learned == Learned()
        assert watched.target.rules == watched.target.configured
        assert watched.gauge.first == Usual()


@pytest.mark.real_time
async def test_a_runtime_keeps_its_memory_over_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Written when it closes, though its endpoints are withdrawn by then."""
    caplog.set_level(logging.CRITICAL)
    settings = Settings(
        health_check_enabled=True, canary_wait_time=0.01, state_file=str(tmp_path / "state")
    )
    samples = []
    for _ in range(2):
        async with Runtime(settings, handle_signals=False) as runtime:
            endpoint = runtime.endpoint(ADDRESS)
            await endpoint.register(Engine().generate, health_check_payload=PAYLOAD)
            (watched,) = runtime.board.endpoints.values()
            samples.append(watched.target.learned.canaries.samples)
            for _ in range(3000):
                if watched.target.learned.canaries.samples >= samples[-1] + 5:
                    break
                await asyncio.sleep(0.01)
            await endpoint.withdraw()
    assert samples[0] == 0
    assert samples[1] >= 5
