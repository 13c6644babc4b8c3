"""Engines with data-parallel ranks: each of them is asked, and judged by its own counters."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiohttp import ClientSession

from serinus.core.evidence import Loading, Phase, Registered
from serinus.core.group import GroupHealth
from serinus.core.status import LiveReason, Reason
from serinus.errors import SettingsError
from serinus.settings import Settings
from serinus.sidecar.life import Life
from serinus.sidecar.sidecar import Sidecar
from serinus.sidecar.targets import read_targets
from serinus.sim.front import Front
from tests.sidecar.rig import DEADLINE, HANG, QUICK, STALL, WAIT, SimRig, over_sim

pytestmark = pytest.mark.real_time

CORES = 3
ROUND = (CORES + 1) * WAIT + 2 * DEADLINE + 1.0
"""Seconds within which a rank that hangs must be noticed."""


def group(rig: SimRig) -> GroupHealth:
    """The one group that there is."""
    (found,) = rig.report.groups
    return found


def missing(rig: SimRig) -> list[tuple[str, Reason]]:
    """The members that are not ready, and why."""
    return [(one.name, one.health.reason) for one in group(rig).missing]


def details(rig: SimRig) -> dict[str, Any]:
    """What is known of each endpoint, by the last part of its address."""
    return {str(one.address).rpartition(".")[2]: one for one in rig.report.endpoints}


async def use(rig: SimRig, rank: int, *, tokens: int = 10_000) -> asyncio.Task[None]:
    """Let a user ask a rank for a long answer."""

    async def ask() -> None:
        body = {"model": "tiny", "prompt": [1], "max_tokens": tokens, "stream": True}
        headers = {"X-Data-Parallel-Rank": str(rank)}
        async with (
            ClientSession() as session,
            session.post(
                f"{rig.sim.url}/v1/completions", json={**body, "ignore_eos": True}, headers=headers
            ) as response,
        ):
            async for _ in response.content:
                pass

    return asyncio.create_task(ask(), name=f"a user of rank {rank}")


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
async def test_a_rank_that_hangs_is_found_and_no_other_is_accused(kind: str) -> None:
    """By the canary that is directed to it, while the server says nothing of it."""
    async with over_sim(kind=kind, cores=CORES) as rig:
        assert group(rig).why() == "3 of 3 ranks ready"
        rig.fault("hang:rank=1")
        await rig.until(lambda: not rig.ready, seconds=ROUND, what="not ready")
        assert missing(rig) == [("rank 1", Reason.CANARY_TIMEOUT)]
        assert rig.report.readiness.blocking == (
            f"serinus.{kind}.generate: 2 of 3 ranks ready; rank 1: canary_timeout",
        )
        await rig.holds(lambda: missing(rig) == [("rank 1", Reason.CANARY_TIMEOUT)], seconds=2)
        rig.clear()
        await rig.until_ready(2 * DEADLINE + 1)


async def test_the_policy_keeps_it_ready_without_a_rank() -> None:
    """It is degraded, and live for as long as the policy can be met."""
    async with over_sim(cores=CORES, group_policy="majority") as rig:
        rig.fault("hang:rank=2")
        await rig.until(lambda: bool(missing(rig)), seconds=ROUND, what="seen")
        await rig.holds(lambda: rig.ready and rig.live, seconds=HANG + 1)
        assert group(rig).degraded == ("members_not_ready",)


async def test_a_hang_of_the_whole_engine_takes_every_rank() -> None:
    """And a restart is asked for when its budget is over."""
    async with over_sim(cores=CORES, group_policy="any") as rig:
        rig.fault("hang")
        await rig.until(lambda: not rig.ready, seconds=ROUND, what="not ready")
        await rig.until(lambda: not rig.live, seconds=HANG + ROUND, what="not live")
        assert rig.report.liveness.reason is LiveReason.HANG


async def test_users_of_one_rank_prove_it_and_keep_canaries_off_it() -> None:
    """Each rank's counters are its own: a busy one beside a frozen one is not accused."""
    async with over_sim(cores=2) as rig:
        user = await use(rig, 0)
        await rig.until(
            lambda: details(rig)["generate-rank-0"].standing.busy, seconds=3, what="busy"
        )
        before = rig.sim.engine.cores[0].running
        rig.fault("hang:rank=1")
        await rig.until(lambda: not rig.ready, seconds=ROUND, what="not ready")
        assert missing(rig) == [("rank 1", Reason.CANARY_TIMEOUT)]
        assert details(rig)["generate-rank-0"].standing.verdict.ready
        assert before == rig.sim.engine.cores[0].running == 1
        user.cancel()
        await asyncio.gather(user, return_exceptions=True)


async def test_work_that_stands_still_on_one_rank_is_that_ranks_stall() -> None:
    """Though the other one goes on, which hid it from the counters of the whole."""
    async with over_sim(cores=2, adaptive=False) as rig:
        users = [await use(rig, rank) for rank in (0, 1)]
        ranks = [f"generate-rank-{rank}" for rank in (0, 1)]
        await rig.until(
            lambda: all(details(rig)[rank].standing.busy for rank in ranks), seconds=3, what="busy"
        )
        rig.fault("stall:rank=1")
        await rig.until(lambda: not rig.ready, seconds=STALL + 2, what="not ready")
        assert [name for name, _ in missing(rig)] == ["rank 1"]
        for user in users:
            user.cancel()
        await asyncio.gather(*users, return_exceptions=True)


async def test_idle_ranks_share_what_one_endpoint_would_cost() -> None:
    """One canary a wait, whatever the number of ranks."""
    async with over_sim(cores=4, canary_wait_time=0.5, canary_jitter=0.0) as rig:

        def asked() -> int:
            return sum(one.standing.spent.canaries for one in rig.report.endpoints)

        await asyncio.sleep(1.0)
        before = asked()
        await asyncio.sleep(5.0)
        assert 5 <= asked() - before <= 11


async def test_ranks_can_be_declared_and_one_that_is_not_there_is_missing() -> None:
    """Four are wanted, three answer."""
    async with over_sim(cores=CORES, load_seconds=0.1, ranks=4) as rig:
        await rig.until(
            lambda: bool(rig.report.groups) and len(missing(rig)) == 1, seconds=5, what="asked"
        )
        assert not rig.ready
        assert missing(rig)[0][0] == "rank 3"


async def test_ranks_can_be_left_together() -> None:
    """`ranks=1`: the engine is one endpoint, as one without ranks is."""
    async with over_sim(cores=CORES, ranks=1) as rig:
        assert rig.report.groups == ()
        assert [str(one.address) for one in rig.report.endpoints] == ["serinus.vllm.generate"]


async def test_an_engine_without_ranks_is_no_group() -> None:
    """One label is no group."""
    async with over_sim() as rig:
        assert rig.report.groups == ()


async def test_canaries_that_do_not_reach_their_rank_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An engine that heeds no direction is judged as a whole, and says so."""
    monkeypatch.setattr(Front, "_rank", lambda *_: 0)
    async with over_sim(cores=2) as rig:
        await rig.until(
            lambda: "do not reach" in rig.watch.notes()["ranks"], seconds=8, what="found out"
        )
        assert rig.report.groups == ()
        await rig.until_ready()
        await rig.holds(lambda: rig.ready, seconds=1)


async def test_an_engine_whose_canaries_stray_stays_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tokens came, of whatever rank: nothing is unproven, for not a moment."""
    monkeypatch.setattr(Front, "_rank", lambda *_: 0)
    async with over_sim(cores=2) as rig:
        await rig.until(
            lambda: "do not reach" in rig.watch.notes()["ranks"], seconds=8, what="found out"
        )
        await rig.holds(lambda: rig.ready, seconds=1)
        turns = [(one.subject, one.after) for one in rig.report.history]
        ready = turns.index(("readiness", "ready"))
        assert [turn for turn in turns[ready:] if "notready" in turn[1]] == []


async def test_counters_alone_tell_of_a_rank_that_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody can ask it; that it has work and others outrun it is said, as a flaw."""
    monkeypatch.setattr(Front, "_rank", lambda *_: 0)
    async with over_sim(cores=2) as rig:
        await rig.until(
            lambda: "do not reach" in rig.watch.notes()["ranks"], seconds=8, what="found out"
        )
        monkeypatch.undo()
        users = [await use(rig, rank) for rank in (0, 1)]
        await asyncio.sleep(0.5)
        rig.fault("stall:rank=1")
        await rig.until(
            lambda: details(rig)["generate"].degraded == ("rank_1_still",),
            seconds=STALL + 3,
            what="said",
        )
        assert rig.ready
        rig.clear()
        await rig.until(lambda: not details(rig)["generate"].degraded, seconds=3, what="mended")
        for user in users:
            user.cancel()
        await asyncio.gather(*users, return_exceptions=True)


async def test_a_lease_of_the_engine_covers_its_ranks() -> None:
    """Who takes one names the endpoint that was configured."""
    async with over_sim(cores=2) as rig:
        runtime = rig.sidecar.runtime
        with runtime.endpoint("serinus.vllm.generate").lease("weights", seconds=30):
            rig.fault("hang")
            await rig.holds(lambda: rig.ready, seconds=ROUND)


async def test_a_restart_with_other_ranks_is_another_group() -> None:
    """The old ranks are gone with the old life."""
    async with over_sim(cores=2, engine_death_notice=0.5) as rig:
        rig.fault("refuse+1s")
        await rig.until(lambda: rig.report.groups == (), seconds=6, what="gone")
        await rig.until_ready(8)
        assert group(rig).why() == "2 of 2 ranks ready"


async def test_a_rank_that_was_seen_loading_is_asked_when_another_brings_a_token() -> None:
    """What was told of loading was the whole engine's; it serves by now."""
    async with over_sim(cores=2) as rig:
        watch, now = rig.watch, time.monotonic()
        watch.presence.life = Life(90.0, now, phase=Phase.NO_MODEL)
        watch.ranks.parts[1].tell(Registered(now, canary=True), Loading(now, Phase.NO_MODEL))
        assert missing(rig) == [("rank 1", Reason.NO_MODEL)]
        watch.presence.proven()
        await rig.until_ready(3)


def test_ranks_of_an_engine_that_lets_nobody_choose_one_are_refused() -> None:
    """The number, the engine, and what is accepted."""
    settings = Settings(**{**QUICK, "ranks": 4})
    targets = read_targets(urls=["http://127.0.0.1:1"], engine="llamacpp")
    with pytest.raises(SettingsError, match=r"ranks: 4 .*'llamacpp'; accepted: 0 or 1, or"):
        Sidecar(settings, targets)
