"""An engine behind the sidecar that becomes slow and goes on serving."""

from __future__ import annotations

import pytest

from tests.sidecar.rig import SimRig, over_sim

pytestmark = pytest.mark.real_time


LEARNT = 12
"""Measures of the pace at one load, after which it is known what is usual."""


def learnt(rig: SimRig) -> int:
    """How many measures of the pace have taught what is usual, at the load that has most."""
    (watched,) = rig.sidecar.runtime.board.endpoints.values()
    assert watched.gauge is not None
    return max((one.samples for one in (watched.gauge.gaps or {}).values()), default=0)


async def test_an_engine_that_becomes_slow_under_users_work_is_degraded() -> None:
    """No canary is sent while they work: their tokens come much later than before, and that shows.

    It is right again as soon as they come as before.
    """
    async with over_sim(health_check_busy_stall=10.0) as rig:
        for _ in range(3):
            rig.user(tokens=90_000)
        await rig.until(lambda: learnt(rig) >= LEARNT, seconds=40, what="measures")
        rig.fault("slow=12")
        await rig.until(
            lambda: "slow_tokens" in rig.report.endpoints[0].degraded, seconds=40, what="degraded"
        )
        assert rig.ready
        assert "times as long as usual" in " ".join(rig.report.endpoints[0].flaws)
        rig.clear()
        await rig.until(
            lambda: "slow_tokens" not in rig.report.endpoints[0].degraded,
            seconds=40,
            what="as it should be",
        )


async def test_each_rank_is_measured_by_its_own_times() -> None:
    """One of them has users, and is known; the other is idle, and has nothing to compare."""
    async with over_sim(cores=2) as rig:
        rig.user(tokens=90_000)
        board = rig.sidecar.runtime.board

        def known() -> list[bool]:
            gauges = [one.gauge for at, one in board.endpoints.items() if "rank" in str(at)]
            return sorted(bool(one and one.gaps) for one in gauges)

        await rig.until(lambda: known() == [False, True], seconds=20, what="measures of one rank")


async def test_an_objective_is_held_against_users_work() -> None:
    """A time between tokens that is asked for, and missed, whatever it was before."""
    async with over_sim(objective_token_gap=0.0005) as rig:
        rig.user(tokens=90_000)
        await rig.until(
            lambda: "objective: token gap" in rig.report.endpoints[0].degraded,
            seconds=40,
            what="degraded",
        )


async def test_a_slow_engine_is_degraded_and_ready() -> None:
    """By its own past: canaries while idle, ten times as long as before, within the deadline."""
    async with over_sim(canary_wait_time=0.05, health_check_request_timeout=5.0) as rig:
        await rig.until(lambda: rig.canaries > 60, seconds=40, what="canaries")
        (health,) = rig.report.endpoints
        assert health.degraded == ()
        rig.fault("slow=15")
        await rig.until(
            lambda: rig.report.endpoints[0].degraded == ("slow_first_token",),
            seconds=30,
            what="degraded",
        )
        assert rig.ready
        rig.clear()
        await rig.until(
            lambda: not rig.report.endpoints[0].degraded, seconds=30, what="as it should be"
        )
