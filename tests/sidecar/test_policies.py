"""What becomes of an engine that serves worse than it should: each target has its own policy."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from serinus.core.status import Reason
from serinus.settings import Settings
from serinus.sidecar.sidecar import Sidecar
from serinus.sidecar.targets import read_targets
from serinus.sim.engine import Pace
from serinus.sim.options import SimOptions
from serinus.sim.server import Simulator
from tests.sidecar.rig import QUICK, Rig, ScriptedEngine, scripted

pytestmark = pytest.mark.real_time

KINDS = pytest.mark.parametrize("kind", ["vllm", "auto"])


@KINDS
@pytest.mark.parametrize(
    ("policy", "degraded", "ready"),
    [
        ("report", "stays", True),
        ("report", "leaves", False),
        ("report", "follows", True),
        ("notready", "stays", True),
        ("notready", "leaves", False),
        ("notready", "follows", False),
    ],
)
async def test_each_target_has_its_own_policy(
    kind: str, policy: str, degraded: str, *, ready: bool
) -> None:
    """The settings' is for those that have none."""
    names = ("stays:report", "leaves:notready", "follows")
    async with AsyncExitStack() as opened:
        places = [await opened.enter_async_context(scripted(ScriptedEngine())) for _ in names]
        named = [f"{name}={place}" for name, place in zip(names, places, strict=True)]
        settings = Settings(**{**QUICK, "degraded_policy": policy})
        targets = read_targets(named=named, engine=kind)
        sidecar = Sidecar(settings, targets, handle_signals=False, seed=1)
        await opened.enter_async_context(sidecar)
        rig = Rig(sidecar)
        await rig.until_ready()
        board = sidecar.runtime.board
        (watched,) = (one for at, one in board.endpoints.items() if at.component == degraded)
        board.flaw(watched, "slow_tokens", "9 times as long as usual")
        (health,) = (one for one in board.health() if one.address == watched.address)
        assert rig.ready is ready
        assert health.ready is ready
        assert rig.live
        if not ready:
            assert health.reason is Reason.DEGRADED


async def test_ranks_have_the_policy_of_their_engine() -> None:
    """A rank that is slow leaves, where its engine's policy says so."""
    options = SimOptions(ranks=2, port=0, pace=Pace(step_seconds=0.01))
    async with Simulator(options, die=lambda: None) as sim:
        targets = read_targets(named=[f"pair:notready={sim.url}"])
        async with Sidecar(Settings(**QUICK), targets, handle_signals=False, seed=1) as sidecar:
            rig = Rig(sidecar)
            board = sidecar.runtime.board
            await rig.until(lambda: len(board.endpoints) == 3, seconds=5, what="two ranks")
            await rig.until_ready()
            rank = next(one for at, one in board.endpoints.items() if "rank" in str(at))
            board.flaw(rank, "slow_tokens", "9 times as long as usual")
            (health,) = (one for one in board.health() if one.address == rank.address)
            assert (health.ready, health.reason) == (False, Reason.DEGRADED)
