"""The board: every endpoint and check of a process, and what follows from them together."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from serinus.core.report import as_json
from serinus.core.rules import Rules
from serinus.core.status import HealthStatus, LiveReason, Reason, Rule
from serinus.runtime.board import Board, rules_of
from serinus.settings import Settings
from tests.runtime.benches import ADDRESS, Bench, read, settings
from tests.runtime.engines import Engine


def test_the_rules_are_those_of_the_settings() -> None:
    """Each number has its setting, and the defaults are the same."""
    assert rules_of(Settings()) == Rules()
    chosen = Settings(
        canary_wait_time=1,
        health_check_request_timeout=2,
        health_check_busy_stall=3,
        hang_budget=4,
        failure_threshold=5,
        success_threshold=6,
        canary_jitter=0.25,
    )
    assert rules_of(chosen) == Rules(1, 2, 3, 4, 5, 6, 0.25)


def test_the_system_is_that_of_the_settings() -> None:
    """Named endpoints, the mode of liveness, the starting status."""
    board = Board(
        settings(
            use_endpoint_health_status=("generate",),
            live_mode="dynamo",
            system_starting_health_status="ready",
        )
    )
    assert board.system.named == ("generate",)
    assert board.system.like_readiness
    assert board.system.process_status is HealthStatus.READY
    assert board.system.canaries


async def test_every_turn_is_told_kept_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """With the evidence; good news quietly, bad news as a warning."""
    with caplog.at_level(logging.INFO, logger="serinus"):
        async with Bench() as bench:
            engine = Engine()
            await bench.serve(engine)
            await bench.until_ready()
            before = bench.changes
            engine.behaviour = "raises"
            await bench.until_not_ready()
            assert bench.changes > before
            ready, fallen = bench.board.history.transitions
    assert (ready.subject, ready.before, ready.after, ready.reason) == (
        ADDRESS,
        "notready",
        "ready",
        "canary",
    )
    assert (fallen.before, fallen.after, fallen.reason) == ("ready", "notready", "canary_raised")
    assert fallen.detail.endswith("RuntimeError: CUDA error: device-side assert")
    levels = [(record.levelname, record.message.split(": ")[1]) for record in caplog.records]
    assert levels == [
        ("INFO", "notready (unproven) -> ready (canary)"),
        ("WARNING", "ready (canary) -> notready (canary_raised)"),
    ]


async def test_a_report_shows_what_traffic_has_shown_by_then() -> None:
    """It takes a look first."""
    async with Bench() as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await asyncio.sleep(5)
        engine.latency = 1
        reading = asyncio.create_task(read(endpoint.stream({})))
        await asyncio.sleep(0.5)
        report = bench.board.report()
        assert report.endpoints[0].standing.pending == 1
        await reading
        assert bench.board.report().endpoints[0].standing.progress_at is not None


async def test_a_report_of_a_board_in_trouble_is_json() -> None:
    """Whatever has happened to it."""
    async with Bench(failure_threshold=1) as bench:
        behaviours = ("good", "hangs", "raises", "yields_nothing", "will_not_end", "dies")
        engines = [Engine(behaviour) for behaviour in behaviours]
        for engine in engines:
            await bench.serve(engine, f"demo.backend.{engine.behaviour}")
        bench.board.hold("warming up")
        bench.board.lease("weights", seconds=60)
        await asyncio.sleep(5)
        bench.board.engine_died("exit code -9")
        shaped = as_json(bench.board.report(), wall=str)
        assert json.loads(json.dumps(shaped, allow_nan=False)) == shaped
        engines[4].behaviour = "good"


async def test_endpoints_are_shown_in_the_order_of_their_addresses() -> None:
    """And not of their registration."""
    async with Bench() as bench:
        for address in ("n.b.x", "n.a.y", "m.z.z"):
            await bench.serve(Engine(), address)
        assert [str(health.address) for health in bench.board.health()] == [
            "m.z.z",
            "n.a.y",
            "n.b.x",
        ]


async def test_a_death_told_by_the_owner_is_for_good(caplog: pytest.LogCaptureFixture) -> None:
    """The first word of it is kept, and no canary takes it back."""
    async with Bench() as bench:
        await bench.serve(Engine())
        await bench.until_ready()
        bench.board.engine_died("exit code -9")
        bench.board.engine_died("again")
        assert bench.reason() is Reason.ENGINE_DIED
        await asyncio.sleep(100)
        readiness, liveness = bench.readiness(), bench.liveness()
        assert (readiness.rule, readiness.why) == (
            Rule.ENGINE_DIED,
            "engine died: exit code -9",
        )
        assert (liveness.live, liveness.reason) == (False, LiveReason.ENGINE_DIED)
        assert caplog.messages.count("engine died: exit code -9") == 1


async def test_in_the_references_mode_both_answers_are_one() -> None:
    """Liveness follows readiness, up and down."""
    async with Bench(live_mode="dynamo", failure_threshold=1) as bench:
        engine = Engine()
        await bench.serve(engine)
        assert not bench.liveness().live
        await bench.until_ready()
        assert bench.liveness().live
        engine.behaviour = "hangs"
        await bench.until_not_ready()
        assert not bench.liveness().live


async def test_the_world_is_told_of_everything_that_the_owner_says() -> None:
    """Each word calls for a publication."""
    async with Bench() as bench:
        hold = bench.board.hold("x")
        lease = bench.board.lease("y", seconds=5)
        words = [
            lambda: bench.board.set_status(HealthStatus.READY),
            lambda: bench.board.release(hold),
            lease.release,
            lambda: bench.board.engine_died("z"),
            bench.board.drain,
        ]
        for word in words:
            before = bench.changes
            word()
            assert bench.changes > before
