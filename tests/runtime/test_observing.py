"""What is folded can be observed: the recording of evidence rests on it."""

from __future__ import annotations

import asyncio

from serinus.core.address import EndpointAddress
from serinus.core.evidence import (
    CanaryPassed,
    Evidence,
    Lease,
    Load,
    Progress,
    Registered,
)
from serinus.core.verdict import Standing
from serinus.runtime.board import Board
from serinus.runtime.manager import HealthCheckConfig, HealthCheckManager
from serinus.runtime.target import Asked, HealthCheckTarget
from tests.runtime.benches import ADDRESS, settings
from tests.runtime.targets import RULES, Question, target


async def test_what_is_observed_folds_to_the_same_standing() -> None:
    """Registration, looks, canaries and what is told: nothing is left out, and nothing twice."""
    loop = asyncio.get_running_loop()
    seen: list[tuple[HealthCheckTarget, Evidence]] = []
    keeper = HealthCheckManager(
        HealthCheckConfig(seed=1),
        clock=loop.time,
        observe=lambda target, evidence: seen.append((target, evidence)),
    )
    question = Question()
    one = target(question, look=lambda now: (Load(now, 0),))
    keeper.start()
    keeper.add(one)
    await asyncio.sleep(25)
    question.good = False
    await asyncio.sleep(25)
    keeper.tell(one, Progress(loop.time()))
    await keeper.stop()

    assert {who for who, _ in seen} == {one}
    first, *rest = (evidence for _, evidence in seen)
    assert isinstance(first, Registered)
    standing = Standing.of(first)
    for evidence in rest:
        standing = standing.after(evidence, RULES)
    assert standing == one.standing
    assert any(isinstance(evidence, CanaryPassed) for evidence in rest)


async def test_the_board_hands_its_observer_on() -> None:
    """A lease that runs when an endpoint is registered is seen after the registration."""
    loop = asyncio.get_running_loop()
    seen: list[Evidence] = []
    board = Board(
        settings(), clock=loop.time, observe=lambda _target, evidence: seen.append(evidence)
    )
    board.lease("weights", seconds=60)
    board.watch(EndpointAddress.parse(ADDRESS), Asked(Question()), payload=True)
    assert [type(evidence) for evidence in seen] == [Registered, Lease]


async def test_a_running_lease_withholds_the_first_canary() -> None:
    """Though the endpoint is on the agenda before it hears of the lease."""
    loop = asyncio.get_running_loop()
    board = Board(settings(), clock=loop.time)
    board.manager.start()
    question, began = Question(), loop.time()
    board.lease("weights", seconds=60)
    board.watch(EndpointAddress.parse(ADDRESS), Asked(question), payload=True)
    await asyncio.sleep(70)
    assert question.asked[0] - began >= 60
    await board.manager.stop()
