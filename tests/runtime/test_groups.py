"""Groups of endpoints in the library: turns, the verdict of the whole, and who is asked when."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from serinus.core.address import EndpointAddress
from serinus.core.group import Group
from serinus.core.report import as_json
from serinus.errors import LifecycleError, SettingsError
from serinus.runtime import metrics
from serinus.runtime.endpoint import Endpoint
from serinus.runtime.endpoint_group import EndpointGroup
from tests.runtime.benches import ADDRESS, PAYLOAD, Bench, read
from tests.runtime.engines import Engine

WAIT = 10.0


class Ranks:
    """An engine of several ranks whose handlers are of one worker."""

    def __init__(self, bench: Bench, size: int = 4, *, policy: str = "all") -> None:
        self.bench = bench
        self.engines = [Engine() for _ in range(size)]
        group = Group.of(EndpointAddress.parse(ADDRESS), "data-parallel", policy)
        self.group = EndpointGroup(group, board=bench.board, make=self._make)
        self.endpoints: list[Endpoint] = []

    def _make(self, address: EndpointAddress, rank: int | None) -> Endpoint:
        bench = self.bench
        return Endpoint(
            address, board=bench.board, served=bench.served, drained=bench.wait_drained, rank=rank
        )

    async def serve(self) -> None:
        """Serve every rank, and wait until all are ready."""
        for rank, engine in enumerate(self.engines):
            endpoint = self.group.endpoint(rank=rank)
            self.endpoints.append(endpoint)
            await endpoint.register(engine.generate, health_check_payload=PAYLOAD)
        for rank in range(len(self.engines)):
            await self.bench.until_ready(self.address(rank))

    def address(self, rank: int) -> str:
        """The address of a rank."""
        return f"{ADDRESS}-rank-{rank}"

    def asked(self, since: float = 0.0) -> list[float]:
        """When any rank was asked, since a time of the bench."""
        times = sorted(at for engine in self.engines for at in engine.canaries)
        return [at - self.bench.began for at in times if at - self.bench.began >= since]


def details(bench: Bench) -> Any:
    """The report's JSON."""
    return as_json(bench.board.report(), wall=lambda at: f"{at:.0f}")


async def test_idle_ranks_cost_one_canary_a_wait_for_all_of_them() -> None:
    """And each of them is asked once in as many waits as there are ranks."""
    async with Bench() as bench:
        ranks = Ranks(bench)
        await ranks.serve()
        began = bench.now + 5 * WAIT
        await asyncio.sleep(25 * WAIT)
        asked = ranks.asked(began)
        assert len(asked) == pytest.approx(20, abs=1)
        assert max(b - a for a, b in pairwise(asked)) <= WAIT * 1.01
        for engine in ranks.engines:
            times = [at - bench.began for at in engine.canaries]
            assert max(b - a for a, b in pairwise(times)) <= 5 * WAIT


async def test_every_rank_can_be_asked_once_a_wait_instead() -> None:
    """`rank_canaries = each`: four times the cost, and a bound that is four times shorter."""
    async with Bench(rank_canaries="each") as bench:
        ranks = Ranks(bench)
        await ranks.serve()
        began = bench.now
        await asyncio.sleep(20 * WAIT)
        assert len(ranks.asked(began)) == pytest.approx(80, abs=8)


async def test_a_rank_that_hangs_is_seen_within_a_round_and_the_others_are_not_accused() -> None:
    """The bound: as many waits as there are ranks, and two deadlines."""
    async with Bench() as bench:
        ranks = Ranks(bench)
        await ranks.serve()
        await asyncio.sleep(33)
        ranks.engines[2].behaviour = "hangs"
        took = await bench.until_not_ready(ranks.address(2))
        assert took <= 4 * WAIT + 2 * 1.0 + 0.1  # it was idle a wait before
        await asyncio.sleep(200)
        assert [bench.ready(ranks.address(rank)) for rank in range(4)] == [True, True, False, True]
        readiness = bench.readiness()
        assert not readiness.ready
        assert readiness.blocking == (f"{ADDRESS}: 3 of 4 ranks ready; rank 2: canary_timeout",)


async def test_when_one_falls_the_others_are_asked_at_once() -> None:
    """What hangs the whole engine is seen in all of its ranks within seconds of the first."""
    async with Bench() as bench:
        ranks = Ranks(bench)
        await ranks.serve()
        await asyncio.sleep(33)
        for engine in ranks.engines:
            engine.behaviour = "hangs"
        began = bench.now
        for rank in range(4):
            await bench.until_not_ready(ranks.address(rank))
        assert bench.now - began <= WAIT + 2 * 1.0 + 2 * 1.0 + 0.1
        assert details(bench)["groups"][ADDRESS]["ready"] == 0


async def test_the_policy_keeps_a_group_ready_without_a_rank_and_it_is_degraded() -> None:
    """It is said in the report, in the metrics and in the history."""
    async with Bench() as bench:
        ranks = Ranks(bench, policy="majority")
        await ranks.serve()
        ranks.engines[1].behaviour = "hangs"
        await bench.until_not_ready(ranks.address(1))
        assert bench.readiness().ready
        assert bench.liveness().live
        told = details(bench)
        group = told["groups"][ADDRESS]
        assert (group["status"], group["ready"], group["size"], group["needed"]) == (
            "ready", 3, 4, 3,
        )  # fmt: skip
        assert group["why"].startswith("3 of 4 ranks ready; rank 1: canary_timeout for ")
        assert group["members"]["rank 1"]["reason"] == "canary_timeout"
        assert told["degraded"] == [f"{ADDRESS}: members_not_ready"]
        text = metrics.render(bench.board, bench.served).decode()
        assert 'serinus_group_members_ready{namespace="demo",component="backend",' in text
        assert 'member="rank 1",rank="1",role="",reason="canary_timeout"} 0' in text
        last = [one for one in bench.board.history.transitions if one.subject == ADDRESS][-1]
        assert last.before == "ready (4 of 4 ranks ready)"
        assert last.after == "ready (3 of 4 ranks ready)"


async def test_liveness_of_a_group_follows_its_policy() -> None:
    """One rank that hangs past its budget asks for a restart where all must be ready."""
    for policy, live in (("all", False), ("any", True)):
        async with Bench(hang_budget=20) as bench:
            ranks = Ranks(bench, 2, policy=policy)
            await ranks.serve()
            ranks.engines[1].behaviour = "hangs"
            await bench.until_not_ready(ranks.address(1))
            await asyncio.sleep(30)
            assert bench.liveness().live is live


async def test_a_busy_rank_is_judged_by_its_own_progress() -> None:
    """Users' work on one rank proves that rank alone."""
    async with Bench() as bench:
        ranks = Ranks(bench, 2)
        await ranks.serve()
        busy = ranks.engines[0]
        busy.items = [{"token_ids": [7]}] * 600
        busy.latency = 0.5
        began = bench.now
        reading = asyncio.create_task(read(ranks.endpoints[0].stream({})), name="user")
        await asyncio.sleep(1)
        ranks.engines[1].behaviour = "hangs"
        took = await bench.until_not_ready(ranks.address(1))
        assert took <= 3 * WAIT + 2 * 1.0 + 0.1
        await asyncio.sleep(100)
        assert bench.ready(ranks.address(0))
        assert not [at for at in busy.canaries if at - bench.began > began]
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def test_the_payload_of_a_rank_names_it() -> None:
    """The handler passes the rank on to the engine; a payload that names one itself is left."""
    asked: list[Any] = []

    async def generate(request: Any) -> Any:
        asked.append(request["data_parallel_rank"])
        yield {"token_ids": [1]}

    async with Bench() as bench:
        ranks = Ranks(bench, 0)
        first, second = ranks.group.endpoint(rank=0), ranks.group.endpoint(rank=1)
        await first.register(generate, health_check_payload=PAYLOAD)
        await second.register(generate, health_check_payload={**PAYLOAD, "data_parallel_rank": 7})
        await bench.until_ready(ranks.address(0))
        await bench.until_ready(ranks.address(1))
        assert sorted(asked) == [0, 7]


async def test_a_member_that_is_not_served_is_missing() -> None:
    """Declared is not there."""
    async with Bench() as bench:
        ranks = Ranks(bench, 2)
        await ranks.serve()
        ranks.group.endpoint(rank=2)
        assert not bench.readiness().ready
        assert bench.readiness().blocking == (f"{ADDRESS}: 2 of 3 ranks ready; rank 2: unproven",)
        await ranks.endpoints[0].withdraw()
        assert bench.readiness().blocking[0].startswith(f"{ADDRESS}: 1 of 3 ranks ready")


async def test_the_two_sides_of_a_pair_are_both_needed() -> None:
    """And the one that is missing is named; the other side is not asked for its sake."""
    async with Bench() as bench:
        ranks = Ranks(bench, 0)
        group = Group.of(EndpointAddress.parse("demo.pair.generate"), "prefill-decode", "any")
        pair = EndpointGroup(group, board=bench.board, make=ranks._make)
        sides = {}
        for role in ("prefill", "decode"):
            sides[role] = engine = Engine()
            endpoint = await bench.serve(engine, f"demo.{role}.generate")
            pair.join(endpoint, role=role)
            await bench.until_ready(f"demo.{role}.generate")
        assert bench.readiness().ready
        sides["decode"].behaviour = "hangs"
        await bench.until_not_ready("demo.decode.generate")
        assert bench.readiness().blocking == (
            (
                "demo.pair.generate: 1 of 1 prefill ready, 0 of 1 decode ready; "
                "decode: canary_timeout"
            ),
        )
        assert details(bench)["groups"]["demo.pair.generate"]["lacking"] == ["decode"]
        assert not bench.standing("demo.prefill.generate").suspect


async def test_a_group_that_is_ended_leaves_its_members_alone() -> None:
    """They are endpoints like any other again, each asked once a wait."""
    async with Bench() as bench:
        ranks = Ranks(bench, 2)
        await ranks.serve()
        ranks.group.leave(ranks.endpoints[1])
        assert not details(bench)["groups"][ADDRESS]["members"].get("rank 1")
        ranks.group.disband()
        ranks.group.disband()
        assert details(bench)["groups"] == {}
        assert bench.target(ranks.address(0)).rules.ranks == 1
        assert bench.readiness().ready


async def test_misuse_says_what_is_accepted() -> None:
    """A rank twice, a group twice, an endpoint in two groups, a role that the group lacks."""
    async with Bench() as bench:
        ranks = Ranks(bench, 2)
        await ranks.serve()
        with pytest.raises(LifecycleError, match="rank-0 is a member of group"):
            ranks.group.endpoint(rank=0)
        with pytest.raises(LifecycleError, match="exists already"):
            Ranks(bench)
        with pytest.raises(SettingsError, match=r"rank -1; accepted: 0, 1, 2"):
            ranks.group.endpoint(rank=-1)
        with pytest.raises(SettingsError, match=r"role 'decode' .* accepted: none"):
            ranks.group.join(bench.endpoint("demo.x.generate"), role="decode")


async def test_canaries_budget_is_shared_by_the_ranks() -> None:
    """It is that of the engine."""
    async with Bench(canary_budget=1000) as bench:
        ranks = Ranks(bench)
        await ranks.serve()
        assert bench.target(ranks.address(3)).rules.budget == 250


async def test_the_front_of_a_group_is_told_of_by_the_group() -> None:
    """An endpoint at the group's own address says nothing of its own: not in the metrics either."""
    async with Bench() as bench:
        await bench.endpoint().register(Engine().generate)
        ranks = Ranks(bench, 2)
        await ranks.serve()
        ranks.engines[1].behaviour = "hangs"
        await bench.until_not_ready(ranks.address(1))
        fold = bench.board.groups.fold(bench.board.health())
        assert [(str(one.address), one.ready) for one in fold.judged] == [(ADDRESS, False)]
        assert len(fold.members) == 2
        text = metrics.render(bench.board, bench.served).decode()
        ready = [line for line in text.splitlines() if line.startswith("serinus_endpoint_ready{")]
        assert len(ready) == 3
        assert any('endpoint="generate",reason="canary_timeout"} 0' in line for line in ready)
        assert str(bench.board.endpoints[EndpointAddress.parse(ADDRESS)].address) == ADDRESS
        assert list(details(bench)["endpoints"]) == [ranks.address(0), ranks.address(1)]
