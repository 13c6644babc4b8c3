"""The engine monitor: it believes a "dead", and never an "alive"."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serinus.core.status import Reason
from serinus.errors import SettingsError
from serinus.runtime.engine_monitor import EngineMonitor
from serinus.runtime.runtime import Runtime
from tests.runtime.benches import ADDRESS, PAYLOAD, settings
from tests.runtime.engines import Engine, EngineDeadError


class AsyncLLM:
    """An engine object as vLLM's: `errored`, and a check that raises."""

    def __init__(self) -> None:
        self.errored = False
        self.trouble: BaseException | None = None
        self.latency = 0.0
        self.answer: object = None
        self.asked: list[float] = []

    async def check_health(self) -> object:
        """Raise the trouble, if there is one."""
        self.asked.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.latency)
        if self.trouble is not None:
            raise self.trouble
        return self.answer


class Monitored:
    """An engine, its monitor in a task, and what was said of its death."""

    def __init__(self, engine: Any, **limits: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.deaths: list[tuple[float, str]] = []
        self.words: list[tuple[float, bool, str]] = []
        monitor = EngineMonitor(
            engine,
            died=self._died,
            heard=self._heard,
            **({"interval": 2.0, "timeout": 30.0} | limits),
        )
        self.task = asyncio.create_task(monitor.run())

    def _died(self, why: str) -> None:
        self.deaths.append((round(self.loop.time() - self.began, 2), why))

    def _heard(self, well: bool, detail: str) -> None:
        self.words.append((round(self.loop.time() - self.began, 2), well, detail))

    async def stop(self) -> None:
        """End the task."""
        self.task.cancel()
        await asyncio.wait([self.task])


async def test_a_good_engine_is_asked_at_its_interval_and_nothing_is_said() -> None:
    """The first time at once."""
    engine = AsyncLLM()
    monitored = Monitored(engine)
    await asyncio.sleep(10.1)
    assert [round(at - monitored.began) for at in engine.asked] == [0, 2, 4, 6, 8, 10]
    assert monitored.deaths == []
    await monitored.stop()


async def test_errored_is_seen_within_a_glance() -> None:
    """It costs nothing to read, and is final."""
    engine = AsyncLLM()
    monitored = Monitored(engine, interval=1000.0)
    await asyncio.sleep(60)
    engine.errored = True
    await asyncio.sleep(0.3)
    assert [why for _, why in monitored.deaths] == ["the engine says that it has failed (errored)"]
    assert monitored.task.done()


async def test_the_engines_own_word_of_death_is_believed_at_once() -> None:
    """However many failures are allowed."""
    engine = AsyncLLM()
    engine.trouble = EngineDeadError("EngineCore encountered an issue")
    monitored = Monitored(engine, max_failures=5)
    await asyncio.sleep(0.1)
    assert monitored.deaths == [
        (0, "check_health(): EngineDeadError: EngineCore encountered an issue")
    ]
    assert monitored.task.done()


@pytest.mark.parametrize("max_failures", [1, 3])
async def test_other_errors_count_after_so_many_in_a_row(
    max_failures: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is reported."""
    engine = AsyncLLM()
    engine.trouble = RuntimeError("rpc failed")
    monitored = Monitored(engine, max_failures=max_failures)
    await asyncio.sleep(20)
    assert len(engine.asked) == max_failures
    assert [why for _, why in monitored.deaths] == ["check_health(): RuntimeError: rpc failed"]
    warned = [message for message in caplog.messages if "time(s)" in message]
    assert len(warned) == max_failures - 1


async def test_a_good_answer_begins_the_count_anew() -> None:
    """In a row means in a row."""
    engine = AsyncLLM()
    monitored = Monitored(engine, max_failures=2)
    for _ in range(5):
        engine.trouble = RuntimeError("once")
        await asyncio.sleep(2)
        engine.trouble = None
        await asyncio.sleep(2)
    assert monitored.deaths == []
    await monitored.stop()


async def test_no_answer_in_time_is_testimony_and_no_death(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An engine full of work is slow to answer. The check is cancelled, and it is said once."""
    engine = AsyncLLM()
    engine.latency = 1e9
    monitored = Monitored(engine, timeout=5.0, max_failures=2)
    await asyncio.sleep(40)
    assert monitored.deaths == []
    silence = "check_health() did not answer within 5 s"
    assert monitored.words == [(at, False, silence) for at in (5, 12, 19, 26, 33)]
    assert caplog.messages == [f"{silence}: a canary will tell"]
    assert len(asyncio.all_tasks()) == 4  # this one, the monitor's, and its two
    await monitored.stop()
    assert len(asyncio.all_tasks()) == 1


async def test_a_time_out_neither_counts_nor_begins_the_count_anew() -> None:
    """In a row means in a row of answers."""
    engine = AsyncLLM()
    monitored = Monitored(engine, timeout=1.0, max_failures=2)
    engine.trouble = RuntimeError("rpc failed")
    await asyncio.sleep(0.1)
    engine.latency = 1e9
    await asyncio.sleep(10)
    assert monitored.deaths == []
    engine.latency = 0.0
    await asyncio.sleep(4)
    assert [why for _, why in monitored.deaths] == ["check_health(): RuntimeError: rpc failed"]


async def test_errored_is_seen_while_a_check_runs() -> None:
    """A check that hangs must not hide the engine's last word; it is cancelled."""
    engine = AsyncLLM()
    engine.latency = 1e9
    monitored = Monitored(engine, timeout=0.0)
    await asyncio.sleep(5)
    engine.errored = True
    await asyncio.sleep(0.3)
    assert [why for _, why in monitored.deaths] == ["the engine says that it has failed (errored)"]
    assert monitored.task.done()
    assert len(asyncio.all_tasks()) == 1


async def test_every_answer_is_told_as_the_engines_own_word() -> None:
    """Well or not; and the last word is told before the death."""
    engine = AsyncLLM()
    monitored = Monitored(engine, max_failures=2)
    await asyncio.sleep(0.1)
    engine.trouble = RuntimeError("rpc failed")
    await asyncio.sleep(4)
    problem = "check_health(): RuntimeError: rpc failed"
    assert monitored.words == [
        (0, True, "check_health() passed"),
        (2, False, problem),
        (4, False, problem),
    ]
    assert monitored.deaths == [(4, problem)]


async def test_a_flag_alone_is_told_at_the_interval() -> None:
    """And not at each glance."""

    class Flagged:
        errored = False

    monitored = Monitored(Flagged())
    await asyncio.sleep(5)
    assert monitored.words == [(at, True, "not errored") for at in (0, 2, 4)]
    await monitored.stop()


async def test_an_engines_own_time_out_is_told_as_its_own() -> None:
    """It answered, with an error."""
    engine = AsyncLLM()
    engine.trouble = TimeoutError("rpc")
    monitored = Monitored(engine)
    await asyncio.sleep(0.1)
    assert monitored.deaths == [(0, "check_health(): TimeoutError: rpc")]


async def test_a_time_limit_of_nought_is_none() -> None:
    """As the reference has it."""
    engine = AsyncLLM()
    engine.latency = 1e6
    monitored = Monitored(engine, timeout=0.0)
    await asyncio.sleep(9e3)
    assert monitored.deaths == []
    await monitored.stop()


async def test_an_interval_of_nought_has_a_pace() -> None:
    """Every loop has one."""
    engine = AsyncLLM()
    monitored = Monitored(engine, interval=0.0)
    await asyncio.sleep(10)
    assert len(engine.asked) <= 41
    await monitored.stop()


async def test_a_check_that_says_false_is_a_failure() -> None:
    """Anything else that it returns is none."""
    engine = AsyncLLM()
    engine.answer = "fine"
    monitored = Monitored(engine)
    await asyncio.sleep(5)
    assert monitored.deaths == []
    engine.answer = False
    await asyncio.sleep(2)
    assert [why for _, why in monitored.deaths] == ["check_health() returned False"]


async def test_an_engine_may_have_only_one_of_both() -> None:
    """And its check need not be async."""

    class Checked:
        asked = 0

        def check_health(self) -> None:
            self.asked += 1

    class Flagged:
        errored = False

    checked, flagged = Checked(), Flagged()
    both = [Monitored(checked), Monitored(flagged)]
    await asyncio.sleep(5)
    flagged.errored = True
    await asyncio.sleep(0.3)
    assert checked.asked == 3
    assert (both[0].deaths, len(both[1].deaths)) == ([], 1)
    await both[0].stop()


@pytest.mark.parametrize("engine", [object(), None, 5])
def test_an_object_that_knows_nothing_of_its_health_is_refused(engine: object) -> None:
    """With what would be accepted."""
    with pytest.raises(SettingsError) as caught:
        EngineMonitor(engine, died=lambda _why: None, interval=1, timeout=1)
    assert str(caught.value) == (
        f"engine {type(engine).__name__}: has neither 'errored' nor 'check_health()'; "
        "accepted: an object with one of them, such as vLLM's AsyncLLM"
    )


async def test_a_monitor_that_is_cancelled_ends() -> None:
    """In the middle of a check too."""
    engine = AsyncLLM()
    engine.latency = 100
    monitored = Monitored(engine)
    await asyncio.sleep(1)
    await monitored.stop()
    assert monitored.task.cancelled()
    assert monitored.deaths == []


async def test_a_check_that_is_silent_brings_a_canary_at_once_which_finds_the_frozen_engine() -> (
    None
):
    """The wait for the next canary is not waited for; the verdict is by the canary alone."""
    clock = asyncio.get_running_loop().time
    monitored, engine = AsyncLLM(), Engine()
    async with Runtime(settings(canary_wait_time=1e4), handle_signals=False, clock=clock) as worker:
        await worker.endpoint(ADDRESS).register(engine.generate, health_check_payload=PAYLOAD)
        worker.monitor_engine(monitored, interval=2.0, timeout=5.0)
        await asyncio.sleep(60)
        assert worker.report().readiness.ready
        engine.behaviour = "hangs"
        monitored.latency = 1e9
        await asyncio.sleep(2 + 5 + 2 + 0.5)
        report = worker.report()
        standing = report.endpoints[0].standing
        assert standing.heard is not None
        assert standing.heard.well is False
        assert standing.verdict.reason is Reason.CANARY_TIMEOUT
        assert report.liveness.live, "a silent check is no death"
