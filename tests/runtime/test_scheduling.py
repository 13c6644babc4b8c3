"""One scheduler for all endpoints: when each is asked, and what that costs."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from serinus.core.evidence import Lease, Load, Progress, RequestFailed, RequestFault
from serinus.core.verdict import Verdict
from serinus.runtime.manager import HealthCheckManager
from serinus.runtime.target import HealthCheckTarget
from serinus.simulation.virtual_time import VirtualTimeLoop
from tests.runtime.targets import RULES, Question, manager, target


async def test_the_first_canary_goes_out_at_registration() -> None:
    """And not one whole wait later: ready as soon as it is answered."""
    keeper, question = manager(), Question()
    keeper.start()
    one = target(question)
    began = asyncio.get_running_loop().time()
    keeper.add(one)
    await asyncio.sleep(0.02)
    assert question.asked == [pytest.approx(began, abs=1e-6)]
    assert one.standing.verdict.ready
    await keeper.stop()


async def test_what_is_registered_before_the_start_is_asked_at_the_start() -> None:
    """Nobody waits for a loop that does not run yet."""
    keeper, question = manager(), Question()
    keeper.add(target(question))
    await asyncio.sleep(5)
    assert question.asked == []
    keeper.start()
    await asyncio.sleep(0.02)
    assert len(question.asked) == 1
    await keeper.stop()


async def test_an_idle_endpoint_is_asked_once_in_each_wait() -> None:
    """Counted from the end of the last canary."""
    keeper, question = manager(), Question(latency=0.5)
    keeper.start()
    keeper.add(target(question))
    await asyncio.sleep(105)
    gaps = [later - earlier for earlier, later in pairwise(question.asked)]
    assert gaps == pytest.approx([10.5] * 9)
    await keeper.stop()


async def test_progress_postpones_the_canary() -> None:
    """By a whole wait from the moment of the progress."""
    keeper, question = manager(), Question()
    seen: list[float] = []

    def look(now: float) -> list[Progress]:
        return [Progress(seen.pop())] if seen else []

    keeper.start()
    keeper.add(target(question, look=look))
    await asyncio.sleep(7)
    seen.append(asyncio.get_running_loop().time())
    began = question.asked[0]
    await asyncio.sleep(20)
    assert [round(at - began, 1) for at in question.asked] == [0, 17]
    await keeper.stop()


async def test_jitter_spreads_canaries_and_never_delays_them() -> None:
    """A thousand that begin together drift apart, a tenth of the wait at most each time."""
    keeper = manager()
    keeper.start()
    rules = RULES._replace(jitter=0.1)
    questions = [Question() for _ in range(1000)]
    for question in questions:
        keeper.add(target(question, rules=rules))
    await asyncio.sleep(100)
    gaps = [gap for q in questions for gap in (b - a for a, b in pairwise(q.asked))]
    assert min(gaps) >= 9.0
    assert max(gaps) <= 10.0 + 0.01 + 1e-6
    last = sorted(question.asked[-1] for question in questions)
    assert last[-1] - last[0] > 3
    await keeper.stop()


def test_the_same_seed_asks_at_the_same_times() -> None:
    """A run can be repeated."""

    async def run(seed: int) -> list[list[float]]:
        keeper = manager(seed=seed)
        keeper.start()
        questions = [Question() for _ in range(20)]
        for question in questions:
            keeper.add(target(question, rules=RULES._replace(jitter=0.5)))
        await asyncio.sleep(50)
        await keeper.stop()
        return [question.asked for question in questions]

    def times(seed: int) -> list[list[float]]:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            return runner.run(run(seed))

    assert times(7) == times(7)
    assert times(7) != times(8)


async def test_ten_thousand_endpoints_need_no_task_and_no_timer_each() -> None:
    """Only canaries in flight have one, and no more than may be at once."""
    keeper = manager(concurrency=100)
    keeper.start()
    questions = [Question(latency=0.01) for _ in range(10_000)]
    most = 0
    for nth, question in enumerate(questions):
        keeper.add(target(question, name=str(nth)))
    for _ in range(300):
        await asyncio.sleep(0.005)
        most = max(most, len(asyncio.all_tasks()))
    assert all(len(question.asked) == 1 for question in questions)
    assert most <= 100 + 1
    assert len(asyncio.all_tasks()) == 1
    scheduled = getattr(asyncio.get_running_loop(), "_scheduled")  # noqa: B009
    assert len([timer for timer in scheduled if not timer.cancelled()]) <= 2
    assert len(keeper._agenda) <= 2 * 10_000 + 64
    await keeper.stop()


async def test_endpoints_come_and_go_while_it_runs() -> None:
    """One that is gone is asked no more; one that comes back is asked at once."""
    keeper = manager()
    keeper.start()
    staying, leaving = Question(), Question()
    stays, leaves = target(staying, name="stays"), target(leaving, name="leaves")
    keeper.add(stays)
    keeper.add(leaves)
    await asyncio.sleep(25)
    keeper.remove(leaves)
    asked = len(leaving.asked)
    await asyncio.sleep(100)
    assert len(leaving.asked) == asked
    assert len(staying.asked) == 13
    back = target(leaving, name="leaves")
    keeper.add(back)
    await asyncio.sleep(0.02)
    assert len(leaving.asked) == asked + 1
    await keeper.stop()


async def test_removing_twice_or_the_unknown_is_nothing() -> None:
    """Stopping is idempotent."""
    keeper = manager()
    keeper.start()
    one = target(Question())
    keeper.remove(one)
    keeper.add(one)
    keeper.remove(one)
    keeper.remove(one)
    await keeper.stop()


async def test_a_suspicion_is_asked_about_at_once() -> None:
    """If the last question is not younger than a retry."""
    keeper, question = manager(), Question()
    keeper.start()
    one = target(question)
    keeper.add(one)
    await asyncio.sleep(5)
    keeper.tell(one, RequestFailed(asyncio.get_running_loop().time(), RequestFault.SERVER))
    await asyncio.sleep(0.001)
    assert [round(at - question.asked[0], 2) for at in question.asked] == [0, 5]
    await keeper.stop()


async def test_a_stream_of_suspicions_is_asked_about_at_a_pace() -> None:
    """A hundred failed requests a second are not a hundred canaries, but one a wait."""
    keeper, question = manager(), Question()
    keeper.start()
    one = target(question)
    keeper.add(one)
    await asyncio.sleep(1)
    for _ in range(2000):
        keeper.tell(one, RequestFailed(asyncio.get_running_loop().time(), RequestFault.SERVER))
        await asyncio.sleep(0.01)
    assert len(question.asked) == 3  # the first, the first suspicion's, and one a wait later
    await keeper.stop()


async def test_nothing_grows_in_a_million_seconds() -> None:
    """Traffic, suspicions and canaries for eleven days: the agenda stays small."""
    keeper, question = manager(), Question(latency=0)
    loop = asyncio.get_running_loop()
    keeper.start()
    keeper.watch.stop()  # ten wakes a second would be the whole test
    busy = [target(question, rules=RULES._replace(wait=1000)) for _ in range(3)]
    for one in busy:
        keeper.add(one)
    most, until = 0, loop.time() + 1e6
    while loop.time() < until:
        for one in busy:
            keeper.tell(one, Progress(loop.time()))
            keeper.tell(one, RequestFailed(loop.time(), RequestFault.SERVER))
        await asyncio.sleep(100)
        most = max(most, len(keeper._agenda))
    assert most <= 2 * 3 + 64
    assert len(asyncio.all_tasks()) == 1
    await keeper.stop()


async def test_every_change_of_a_verdict_is_passed_on_once() -> None:
    """With the verdict from before."""
    heard: list[tuple[str, Verdict, Verdict]] = []

    def changed(one: HealthCheckTarget, before: Verdict) -> None:
        heard.append((one.name, before, one.standing.verdict))

    keeper, question = manager(changed=changed), Question()
    keeper.start()
    keeper.add(target(question, name="a"))
    await asyncio.sleep(25)
    question.good = False
    await asyncio.sleep(25)
    assert [(name, before.reason, after.reason) for name, before, after in heard] == [
        ("a", "unproven", "canary"),
        ("a", "canary", "canary_error"),
    ]
    await keeper.stop()


async def test_a_listener_that_raises_ends_nobodys_watch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is reported, and all targets are asked as before."""

    def changed(one: HealthCheckTarget, before: Verdict) -> None:
        raise OSError("the page is gone")

    keeper = manager(changed=changed)
    keeper.start()
    questions = [Question(), Question()]
    for question in questions:
        keeper.add(target(question))
    await asyncio.sleep(25)
    assert [len(question.asked) for question in questions] == [3, 3]
    assert "t: its change of verdict could not be passed on" in caplog.text
    await keeper.stop()


async def test_a_look_that_raises_ends_nobodys_watch(caplog: pytest.LogCaptureFixture) -> None:
    """It is reported, and the canaries go on."""

    def look(now: float) -> list[Progress]:
        raise KeyError("scraper")

    keeper = manager()
    keeper.start()
    blind, seeing = Question(), Question()
    keeper.add(target(blind, name="blind", look=look))
    keeper.add(target(seeing))
    await asyncio.sleep(25)
    assert (len(blind.asked), len(seeing.asked)) == (3, 3)
    assert "blind: its traffic cannot be looked at" in caplog.text
    await keeper.stop()


async def test_the_clock_of_a_manager_is_the_monotonic_one_by_default() -> None:
    """The settings of a manager have defaults too."""
    keeper = HealthCheckManager()
    assert (keeper.config.concurrency, keeper.config.cancel_grace) == (256, 1.0)
    keeper.start()
    assert keeper.in_flight == 0
    await keeper.stop()


async def test_a_hint_brings_the_next_canary_forward_once_a_wait() -> None:
    """However often something is hinted at; routine goes on a wait after it."""
    keeper, question = manager(), Question()
    keeper.start()
    one = target(question)
    keeper.add(one)
    began = asyncio.get_running_loop().time()
    for _ in range(600):  # a minute
        await asyncio.sleep(0.1)
        keeper.hurry(one)
    at = [asked - began for asked in question.asked]
    assert at[0] == pytest.approx(0.0, abs=0.01)
    assert at[1] == pytest.approx(0.1, abs=0.02), "at once"
    assert [later - earlier for earlier, later in pairwise(at[1:])] == pytest.approx(
        [10.0] * 5, abs=0.2
    )
    await keeper.stop()


async def test_a_hint_that_proves_wrong_accuses_nobody() -> None:
    """It is no evidence: what the canary brings is."""
    turns: list[Verdict] = []
    keeper, question = manager(changed=lambda _t, before: turns.append(before)), Question()
    keeper.start()
    one = target(question)
    keeper.add(one)
    await asyncio.sleep(5)
    turns.clear()
    assert keeper.hurry(one)
    await asyncio.sleep(0.1)
    assert (one.counts.sent, one.counts.passed) == (2, 2)
    assert one.standing.verdict.ready
    assert turns == []
    await keeper.stop()


async def test_a_hint_sends_nothing_where_nothing_is_to_be_asked() -> None:
    """On top of work, in a lease, beside another canary, before the first proof, after the end."""
    keeper, question = manager(), Question()
    one = target(question)
    keeper.add(one)
    assert not keeper.hurry(one), "not begun"
    keeper.start()
    assert not keeper.hurry(one), "never proven"
    await asyncio.sleep(5)
    now = asyncio.get_running_loop().time()
    keeper.tell(one, Load(now, 1))
    assert not keeper.hurry(one), "busy"
    keeper.tell(one, Load(now, 0), Lease(now, now + 3))
    assert not keeper.hurry(one), "a planned pause"
    await asyncio.sleep(6)
    assert keeper.hurry(one)
    await asyncio.sleep(0)
    assert not keeper.hurry(one), "asked already"
    await asyncio.sleep(11)
    keeper.pause()
    assert not keeper.hurry(one), "draining"
    keeper.remove(one)
    assert not keeper.hurry(one), "gone"
    await keeper.stop()
