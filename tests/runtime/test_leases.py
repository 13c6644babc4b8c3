"""Leases as their holders have them: renewed, released, of one endpoint, and run out."""

from __future__ import annotations

import asyncio
import logging

import pytest

from serinus.core.status import Reason
from serinus.errors import LifecycleError, SettingsError
from serinus.runtime import metrics
from serinus.runtime.context import Context
from tests.runtime.benches import Bench, read
from tests.runtime.engines import Engine

OTHER = "demo.prefill.generate"


def notes(bench: Bench) -> list[tuple[str, str]]:
    """What the history says of leases."""
    told = bench.board.history.transitions
    return [(turn.subject, turn.reason) for turn in told if turn.subject.startswith("lease ")]


async def test_a_lease_that_is_renewed_goes_on() -> None:
    """A weight update in parts says that it still goes on, each time for a bounded time."""
    async with Bench() as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        lease = bench.board.lease("weight_update", seconds=30)
        for _ in range(5):
            await asyncio.sleep(20)
            lease.renew(30)
        assert len(engine.canaries) == 1
        await asyncio.sleep(29.9)
        assert len(engine.canaries) == 1
        await asyncio.sleep(0.2)
        assert len(engine.canaries) == 2


async def test_a_lease_that_nobody_renews_runs_out_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the log, the history and the metrics; silence counts again."""
    caplog.set_level(logging.INFO, "serinus")
    async with Bench(failure_threshold=1) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "hangs"
        bench.board.lease("weight_update", seconds=30)
        await asyncio.sleep(29.9)
        assert bench.ready()
        assert notes(bench) == [("lease weight_update", "taken")]
        await asyncio.sleep(1.2)
        assert bench.reason() is Reason.CANARY_TIMEOUT
        assert notes(bench)[1:] == [("lease weight_update", "ran_out")]
        assert bench.board.leases.ran_out == 1
        assert "serinus_leases_ran_out_total 1" in metrics.render(bench.board, {}).decode()
        warned = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
        assert any("weight_update: ran_out" in text and "silence counts" in text for text in warned)


async def test_the_end_of_a_context_releases() -> None:
    """Of either kind, also by an error; a lease that was released did not run out."""
    async with Bench() as bench:
        await bench.serve(Engine())
        with bench.board.lease("compile", seconds=30):
            assert [one.why for one in bench.board.report().leases] == ["compile"]
        with pytest.raises(ZeroDivisionError):
            async with bench.board.lease("profile", seconds=30):
                raise ZeroDivisionError
        assert bench.board.report().leases == ()
        await asyncio.sleep(100)
        assert bench.board.leases.ran_out == 0
        assert [reason for _, reason in notes(bench)] == ["taken", "released"] * 2


async def test_a_lease_of_one_endpoint_is_none_of_the_other() -> None:
    """Nor is its end."""
    async with Bench() as bench:
        leased, other = Engine(), Engine()
        endpoint = await bench.serve(leased)
        await bench.serve(other, OTHER)
        await bench.until_ready()
        await bench.until_ready(OTHER)
        lease = endpoint.lease("compile", seconds=100)
        await asyncio.sleep(35)
        assert len(leased.canaries) == 1
        assert len(other.canaries) == 4
        assert bench.board.leases.until == float("-inf")  # a blocked loop is everybody's
        lease.release()
        await asyncio.sleep(0.1)
        assert len(leased.canaries) == 2
        assert len(other.canaries) == 4
        page = metrics.render(bench.board, {}).decode()
        assert page.count("serinus_endpoint_leased{") == 2


async def test_an_endpoints_checks_are_in_its_lease() -> None:
    """They are of the same engine."""
    async with Bench() as bench:
        asked: list[float] = []

        async def check() -> bool:
            asked.append(bench.now)
            return True

        endpoint = await bench.serve(Engine())
        endpoint.add_check("adapter", check, interval=5, timeout=1)
        await asyncio.sleep(1)
        with endpoint.lease("compile", seconds=60):
            await asyncio.sleep(50)
            assert len(asked) == 1
        await asyncio.sleep(1)
        assert len(asked) == 2


async def test_renewing_what_has_run_out_begins_it_again() -> None:
    """The pause goes on, and its owner was late by a moment."""
    async with Bench() as bench:
        engine = Engine()
        await bench.serve(engine)
        lease = bench.board.lease("weight_update", seconds=10)
        await asyncio.sleep(11)
        assert bench.board.report().leases == ()
        lease.renew(30)
        [told] = bench.board.report().leases
        assert told.until == pytest.approx(bench.loop.time() + 30)
        assert notes(bench)[-1] == ("lease weight_update", "renewed")


async def test_what_was_released_is_not_renewed() -> None:
    """Nor is anything renewed beyond the bound."""
    async with Bench(lease_max=60) as bench:
        lease = bench.board.lease("weight_update", seconds=60)
        with pytest.raises(SettingsError, match="at most 60 s"):
            lease.renew(61)
        lease.release()
        with pytest.raises(LifecycleError, match="was released; take another one"):
            lease.renew(10)


async def test_leases_have_a_bound_in_number() -> None:
    """A script that takes and never releases is told so; those that ran out make room."""
    async with Bench() as bench:
        for number in range(256):
            bench.board.lease(f"number {number}", seconds=10 + number)
        with pytest.raises(LifecycleError, match="256 leases run already"):
            bench.board.lease("one more", seconds=10)
        await asyncio.sleep(10.1)
        bench.board.lease("one more", seconds=10)


async def test_errors_count_inside_a_lease() -> None:
    """A pause is quiet: who answers with an error is not paused."""
    async with Bench(failure_threshold=1) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "raises"
        with endpoint.lease("weight_update", seconds=60):
            with pytest.raises(RuntimeError):
                await read(endpoint.stream({"token_ids": [7]}, Context()))
            await asyncio.sleep(1)
            assert bench.standing().suspect
            await asyncio.sleep(1)
            assert bench.ready()  # nobody asks inside a lease; the question is owed
        await asyncio.sleep(0.2)
        assert bench.reason() is Reason.CANARY_RAISED
