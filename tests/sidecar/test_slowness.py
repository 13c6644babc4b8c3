"""An engine behind the sidecar that becomes slow and goes on serving."""

from __future__ import annotations

import pytest

from tests.sidecar.rig import over_sim

pytestmark = pytest.mark.real_time


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
