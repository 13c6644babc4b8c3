"""Every fault of the simulator: which verdict, and within which bound."""

from __future__ import annotations

import asyncio
import logging

import pytest

from serinus.core.evidence import Witness
from serinus.core.hearing import heard
from serinus.core.status import LiveReason, Reason
from tests.sidecar.rig import DEADLINE, HANG, NOTICED, STALL, STANDS_STILL, WAIT, over_sim

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize("fault", ["hang", "stall", "slow=200"])
async def test_silence_of_an_idle_engine_is_found_by_a_canary(fault: str) -> None:
    """Not ready after two unanswered canaries; live until the hang is proven for its budget."""
    async with over_sim() as rig:
        rig.fault(fault)
        await rig.until(lambda: not rig.ready, seconds=NOTICED, what="not ready")
        assert rig.reason() is Reason.CANARY_TIMEOUT
        assert rig.live
        await rig.until(lambda: not rig.live, seconds=HANG + 1, what="not live")
        assert rig.report.liveness.reason is LiveReason.HANG
        rig.clear()
        await rig.until_ready(2 * DEADLINE + 1)
        assert rig.live


async def test_late_tokens_of_our_own_do_not_prove_a_slow_engine() -> None:
    """Each canary is given up before its token comes; the tokens prove nothing, again and again."""
    async with over_sim() as rig:
        rig.fault("slow=60")  # 0.6 s a token, with 0.4 s to bring it
        await rig.until(lambda: not rig.ready, seconds=NOTICED, what="not ready")
        await rig.holds(lambda: not rig.ready, seconds=2.5)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("error", Reason.CANARY_ERROR), ("empty", Reason.CANARY_EMPTY)],
)
async def test_a_wrong_answer_is_not_ready_and_live(fault: str, reason: Reason) -> None:
    """Nobody knows whether a restart would help an engine that answers with errors."""
    async with over_sim() as rig:
        rig.fault(fault)
        await rig.until(lambda: not rig.ready, seconds=NOTICED, what="not ready")
        assert rig.reason() is reason
        await rig.holds(lambda: rig.live, seconds=HANG + 0.5)
        rig.clear()
        await rig.until_ready()


async def test_garbage_is_tokens() -> None:
    """A green light does not say that the output is right (docs/honesty.md)."""
    async with over_sim() as rig:
        rig.fault("garbage")
        await rig.holds(lambda: rig.ready, seconds=3 * WAIT)


@pytest.mark.parametrize("fault", ["hang", "stall", "partial"])
async def test_users_work_that_stands_still_is_a_stall(fault: str) -> None:
    """No canary condemns a busy engine; its own standstill does, after the stall budget."""
    async with over_sim() as rig:
        rig.user()
        await rig.until(lambda: rig.standing().busy, seconds=3, what="busy")
        await asyncio.sleep(0.2)
        rig.fault(fault)
        took = await rig.until(lambda: not rig.ready, seconds=STALL + 1.5, what="stalled")
        assert rig.reason() in STANDS_STILL
        assert took > STALL - 0.5
        await rig.until(lambda: not rig.live, seconds=HANG + 1, what="not live")
        rig.clear()
        await rig.until_ready()
        assert rig.reason() is Reason.TRAFFIC


async def test_a_saturated_engine_is_ready_and_is_not_asked() -> None:
    """Full slots and a full queue: progress proves it, and no canary is put behind the work."""
    async with over_sim() as rig:
        rig.fault("saturate")
        await rig.until(lambda: rig.standing().busy, seconds=3, what="busy")
        sent = rig.canaries
        await rig.holds(lambda: rig.ready, seconds=2 * STALL)
        assert rig.canaries == sent
        assert rig.inside >= 8, "nor was one sent and not counted"


async def test_a_frozen_metrics_page_condemns_no_idle_engine() -> None:
    """Canaries pass and the page does not show them: it is not believed, and they go on."""
    async with over_sim() as rig:
        rig.fault("frozen-metrics")
        await rig.holds(lambda: rig.ready, seconds=STALL)
        await rig.until(
            lambda: "not believed" in rig.watch.notes()["metrics"], seconds=3, what="not believed"
        )
        rig.clear()
        await rig.until(
            lambda: "not believed" not in rig.watch.notes()["metrics"], seconds=3, what="believed"
        )


async def test_a_frozen_metrics_page_condemns_no_busy_engine() -> None:
    """It says for ever that two run and nothing moves. The last question shows that it lies."""
    async with over_sim() as rig:
        rig.user()
        rig.user()
        await rig.until(lambda: rig.standing().pending == 2, seconds=3, what="busy")
        rig.fault("frozen-metrics")
        await rig.holds(lambda: rig.ready, seconds=3 * STALL)


async def test_a_busy_engine_that_hangs_while_its_page_is_frozen_is_found_too() -> None:
    """The last question is not answered: there is nothing that speaks for the engine."""
    async with over_sim() as rig:
        rig.user()
        await rig.until(lambda: rig.standing().busy, seconds=3, what="busy")
        rig.fault("frozen-metrics")
        rig.fault("hang")
        await rig.until(lambda: not rig.ready, seconds=STALL + 1.5, what="stalled")


async def test_a_closed_port_is_death_and_an_open_one_a_new_life() -> None:
    """Refused, and refused again at once: not ready and not live, long before a canary is due."""
    async with over_sim(canary_wait_time=60, scrape_interval=30) as rig:
        await asyncio.sleep(0.1)
        rig.fault("refuse")
        await rig.until(lambda: not rig.ready, seconds=1.5, what="not ready")
        assert rig.reason() is Reason.ENGINE_DIED
        assert rig.report.liveness.reason is LiveReason.ENGINE_DIED
        assert "refuses connections" in rig.report.liveness.why
        rig.clear()
        await rig.until_ready(4)
        assert rig.live


async def test_death_is_announced_for_a_while_and_then_a_new_life_awaited() -> None:
    """So that an engine that takes long to load is not restarted for ever."""
    async with over_sim(engine_death_notice=1) as rig:
        rig.fault("refuse")
        await rig.until(lambda: not rig.live, seconds=2, what="not live")
        took = await rig.until(lambda: rig.live, seconds=4, what="a new life")
        assert took > 0.5
        assert rig.reason() is Reason.PORT_CLOSED
        assert not rig.ready


async def test_given_up_canaries_leave_the_engine() -> None:
    """The connection is closed, which is the abort; they do not pile up, whatever the hang."""
    async with over_sim() as rig:
        rig.fault("hang")
        await rig.until(lambda: not rig.ready, seconds=NOTICED, what="not ready")
        sent = rig.canaries
        await rig.until(lambda: rig.canaries >= sent + 3, seconds=5, what="more canaries")
        assert rig.inside <= 1
        await rig.holds(lambda: rig.inside <= 1, seconds=1)
        assert rig.standing().pending in {0, None}, "they are not users' work"


async def test_the_engines_own_word_is_heard_and_does_not_decide(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It says 200 while canaries fail: that is in the notes, and in the log once."""
    caplog.set_level(logging.WARNING, "serinus")
    async with over_sim() as rig:
        rig.fault("hang")
        await rig.until(lambda: not rig.ready, seconds=NOTICED, what="not ready")
        await rig.until(
            lambda: "/health: 200 (" in rig.watch.notes()["own_health"], seconds=3, what="heard"
        )
        await asyncio.sleep(1)
    said = [line for line in caplog.messages if "the engine's own /health says 200" in line]
    assert len(said) == 1
    assert "canary_timeout" in said[0]


async def test_an_engine_without_metrics_is_judged_by_canaries_alone() -> None:
    """And its end is noticed all the same, at once."""
    async with over_sim(kind="openai", canary_wait_time=0.3) as rig:
        await rig.until(
            lambda: rig.watch.notes()["metrics"].startswith("none"), seconds=3, what="no page"
        )
        rig.fault("hang")
        await rig.until(lambda: not rig.ready, seconds=NOTICED, what="not ready")
        rig.clear()
        await rig.until_ready()
        rig.fault("refuse")
        await rig.until(lambda: not rig.live, seconds=1.5, what="not live")


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp"])
async def test_long_work_is_not_called_stalled_in_the_middle_of_a_request(kind: str) -> None:
    """Whatever counters move only at its end; a core that freezes in it is found all the same."""
    async with over_sim(kind=kind) as rig:
        rig.user(tokens=90_000)
        await rig.until(lambda: rig.inside > 0, seconds=NOTICED, what="at work")
        await rig.holds(lambda: rig.ready, seconds=3 * STALL)
        rig.fault("hang")
        await rig.until(lambda: not rig.ready, seconds=6 * STALL, what="not ready")
        decided = rig.report.endpoints[0]
        hearing = heard(decided.standing, decided.rules, now=rig.report.at)
        assert hearing.decided.witness in {Witness.COUNTERS, Witness.CANARY}
