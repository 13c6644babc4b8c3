"""Answers to fixed prompts, in the library: when they are asked for, what becomes of wrong ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from math import nan
from pathlib import Path
from typing import Any

import pytest

from serinus.core.correctness import LESSONS, Lesson, Mark, Wrong
from serinus.core.report import as_json
from serinus.core.status import Reason
from serinus.core.transcript import Transcript
from serinus.errors import SettingsError
from serinus.runtime import metrics
from serinus.runtime.examiner import Examiner
from serinus.runtime.memory import Memory
from serinus.runtime.reference import Reference, Sheet
from tests.runtime.benches import ADDRESS, PAYLOAD, Bench
from tests.runtime.engines import Engine

PROMPTS = [{"prompt": "one", "max_tokens": 16}, {"prompt": "two", "max_tokens": 16}]
INTERVAL = 300.0


class Greedy(Engine):
    """An engine that answers a prompt by the same tokens each time, until its weights change."""

    def __init__(self) -> None:
        super().__init__("greedy")
        self.weights = 0
        self.log_probability = -0.5
        self.exams: list[float] = []
        self.company = 0
        """The most requests that were in hand beside an exam."""

    async def _greedy(self, request: Any) -> AsyncIterator[Any]:
        tokens = request.get("max_tokens", 1)
        if tokens > 1 and "_HEALTH_CHECK" in request:
            self.exams.append(asyncio.get_running_loop().time())
            self.company = max(self.company, self.in_hand - 1)
        seed = sum(map(ord, request.get("prompt", "")))
        for place in range(tokens):
            await asyncio.sleep(self.latency)
            token = 100 + (seed * 7 + place * 13 + self.weights) % 101
            yield {
                "token_ids": [token],
                "log_probs": [self.log_probability],
                "top_logprobs": [[{"logprob": self.log_probability}, {"logprob": -3.0}]],
            }

    async def _loops(self, request: Any) -> AsyncIterator[Any]:
        for _ in range(request.get("max_tokens", 1)):
            await asyncio.sleep(self.latency)
            yield {"token_ids": [0]}


async def serve(bench: Bench, engine: Engine, **more: Any) -> Examiner:
    """Serve an engine with two prompts, and wait until it is ready."""
    await bench.endpoint().register(
        engine.generate, health_check_payload=PAYLOAD, correctness_payloads=PROMPTS, **more
    )
    await bench.until_ready()
    (watched,) = bench.board.endpoints.values()
    assert watched.examiner is not None
    return watched.examiner


async def learned(bench: Bench, engine: Engine) -> Examiner:
    """Serve an engine, and wait until its answers are known."""
    examiner = await serve(bench, engine)
    began = bench.now
    while not examiner.correctness.learned:
        assert bench.now - began < 60, "not learned"
        await asyncio.sleep(0.1)
    return examiner


def bench(policy: str = "notready", **changed: Any) -> Bench:
    """Return a bench whose endpoints are examined."""
    chosen = {"correctness_policy": policy, "correctness_interval": INTERVAL}
    return Bench(**{**chosen, "correctness_tokens": 16, **changed})


async def test_nothing_is_examined_by_default() -> None:
    """It costs tokens: who wants it says so."""
    async with Bench() as off:
        await off.endpoint().register(
            Greedy().generate, health_check_payload=PAYLOAD, correctness_payloads=PROMPTS
        )
        (watched,) = off.board.endpoints.values()
        assert watched.examiner is None
        assert watched.health().examined is None
        assert b"serinus_correctness" not in metrics.render(off.board, off.served)


async def test_it_is_learned_at_once_and_then_asked_seldom() -> None:
    """Each prompt five times at the pace of a retry, then one prompt each interval."""
    engine = Greedy()
    async with bench() as on:
        examiner = await learned(on, engine)
        assert on.now < 2 * LESSONS * 2.0
        assert len(engine.exams) == 2 * LESSONS
        began = on.now
        await asyncio.sleep(4 * INTERVAL + 1)
        asked = [at - on.began - began for at in engine.exams[2 * LESSONS :]]
        assert len(asked) == 4
        assert asked == pytest.approx([INTERVAL * n for n in range(1, 5)], abs=2.0)
        assert examiner.answers[Mark.RIGHT] == 4
        assert examiner.examined().state == "right"


async def test_an_exam_is_a_canary_and_takes_its_place() -> None:
    """It proves, it is paid for in tokens, and its time is that of its first token."""
    engine = Greedy()
    async with bench() as on:
        await learned(on, engine)
        spent = on.standing().spent
        assert spent.canaries == on.target().counts.passed
        assert spent.tokens == 16 * 2 * LESSONS + (spent.canaries - 2 * LESSONS)
        assert on.target().counts.seconds < 0.02 * spent.canaries
        assert on.standing().proven_by_canary


async def test_wrong_answers_are_asked_about_and_then_it_is_not_ready() -> None:
    """Within some askings at the pace of a retry; right answers bring it back."""
    engine = Greedy()
    async with bench() as on:
        await learned(on, engine)
        engine.weights = 50
        await asyncio.sleep(INTERVAL + 10)
        (health,) = on.board.health()
        assert not health.ready
        assert (health.reason, health.degraded) == (Reason.WRONG, ("wrong",))
        assert not on.readiness().ready
        assert on.readiness().blocking == (f"{ADDRESS}: wrong",)
        assert on.liveness().live
        told: Any = as_json(on.board.report(), wall=str)["endpoints"]
        one = told[ADDRESS]
        assert (one["status"], one["reason"]) == ("notready", "wrong")
        assert one["evidence"].startswith("tokens: token 1 is 1")
        assert one["verdict"] == "decided by the policy for wrong output"
        assert one["correctness"]["state"] == "wrong"
        assert one["correctness"]["for_seconds"] > 0
        turn = on.board.history.transitions[-1]
        assert (turn.before, turn.after, turn.reason) == ("ready", "degraded", "wrong")
        engine.weights = 0
        await asyncio.sleep(60)
        assert on.readiness().ready
        assert on.board.history.transitions[-1].detail == "its answers are right again"


async def test_a_policy_may_only_degrade() -> None:
    """Ready, with the flaw; a strict policy for degraded endpoints takes it out for that."""
    engine = Greedy()
    async with bench("degrade") as on:
        await learned(on, engine)
        engine.behaviour = "loops"
        await asyncio.sleep(INTERVAL + 10)
        (health,) = on.board.health()
        assert health.impaired
        assert health.flaws == ("repetition: it repeats 0 to its end",)
        assert not health.wrong
    async with bench("degrade", degraded_policy="notready") as on:
        engine = Greedy()
        await learned(on, engine)
        engine.behaviour = "loops"
        await asyncio.sleep(INTERVAL + 10)
        (health,) = on.board.health()
        assert (health.ready, health.reason) == (False, Reason.DEGRADED)


async def test_a_policy_may_only_report() -> None:
    """It is ready and not degraded; the report, the metric and the history have it, once."""
    engine = Greedy()
    async with bench("report") as on:
        await learned(on, engine)
        engine.log_probability = nan
        await asyncio.sleep(INTERVAL + 60)
        (health,) = on.board.health()
        assert health.ready
        assert not health.degraded
        assert health.examined is not None
        assert health.examined.told == "nan: the log-probability of token 1 is nan"
        page = metrics.render(on.board, on.served).decode()
        assert 'serinus_endpoint_wrong{namespace="demo"' in page
        assert [line[-2:] for line in page.splitlines() if "endpoint_wrong{" in line] == [" 1"]
        turns = [turn for turn in on.board.history.transitions if turn.reason == "wrong"]
        assert [(turn.before, turn.after) for turn in turns] == [("right", "wrong")]
        engine.log_probability = -0.5
        await asyncio.sleep(60)
        turns = [turn for turn in on.board.history.transitions if turn.reason == "wrong"]
        assert [(turn.before, turn.after) for turn in turns][1:] == [("wrong", "right")]


async def test_users_come_first() -> None:
    """While work is in flight nothing is asked; in the next rest it is, however short."""
    engine = Greedy()
    async with bench() as on:
        await learned(on, engine)
        asked = len(engine.exams)
        endpoint = on.endpoint()
        stop = on.now + 3 * INTERVAL

        async def user() -> None:
            while on.now < stop:
                async for _ in endpoint.stream({"prompt": "hello", "max_tokens": 500}):
                    pass

        await asyncio.gather(user(), user())
        assert len(engine.exams) == asked
        await asyncio.sleep(30)
        assert len(engine.exams) > asked
        assert engine.company == 0


async def test_light_traffic_does_not_put_it_off_for_ever() -> None:
    """Traffic proves that it serves, and not that it is right."""
    engine = Greedy()
    async with bench() as on:
        await learned(on, engine)
        asked = len(engine.exams)
        endpoint, stop = on.endpoint(), on.now + 3 * INTERVAL
        while on.now < stop:
            async for _ in endpoint.stream({"prompt": "hello", "max_tokens": 5}):
                pass
            await asyncio.sleep(4)
        assert len(engine.exams) - asked >= 2


async def test_an_answer_that_got_company_says_nothing() -> None:
    """A request that came meanwhile may have shared its batch."""
    engine = Greedy()
    async with bench() as on:
        examiner = await learned(on, engine)
        endpoint = on.endpoint()
        engine.weights = 50
        for _ in range(12):
            while engine.in_hand == 0:  # noqa: ASYNC110 - an engine has no event
                await asyncio.sleep(0.01)
            async for _ in endpoint.stream({"prompt": "hello", "max_tokens": 2}):
                pass
            await asyncio.sleep(0.5)
        assert examiner.answers[Mark.WRONG] == 0


async def test_a_hang_in_an_exam_is_seen_as_soon_as_by_any_canary() -> None:
    """The first token has the canary's deadline."""
    engine = Greedy()
    async with bench() as on:
        examiner = await serve(on, engine)
        await asyncio.sleep(10)
        assert examiner.warm
        engine.behaviour = "hangs"
        assert await on.until_not_ready(within=4) < 4
        assert on.reason() is Reason.CANARY_TIMEOUT


async def test_the_first_exam_of_a_life_may_be_slow() -> None:
    """Something may have to be compiled before log-probabilities can be told."""
    engine = Greedy()
    async with bench() as on:
        examiner = await serve(on, engine)
        engine.latency = 30.0
        await asyncio.sleep(31)
        engine.latency = 0.01
        await asyncio.sleep(15)
        assert on.ready()
        assert examiner.warm
        assert on.target().counts.failed == 0
        examiner.restarted()
        assert examiner.first > 30


async def test_an_exam_that_takes_for_ever_accuses_nobody() -> None:
    """An answer that begins in time is proof; that it does not end is for a canary to find out."""
    engine = Greedy()

    async def handler(request: Any) -> AsyncIterator[Any]:
        engine.behaviour = "one_then_hangs" if "prompt" in request else "greedy"
        async for item in engine.generate(request):
            yield item

    async with bench() as on:
        await on.endpoint().register(
            handler, health_check_payload=PAYLOAD, correctness_payloads=PROMPTS
        )
        await on.until_ready()
        (watched,) = on.board.endpoints.values()
        examiner = watched.examiner
        assert examiner is not None
        await asyncio.sleep(120)
        assert on.ready()
        missed = examiner.answers[Mark.UNJUDGED]
        assert missed >= 2
        assert on.target().counts.passed >= 2 * missed, "each is passed, and one between"


async def test_one_token_and_no_more_is_found_though_exams_hang_too() -> None:
    """Exams that come early do not take the place of the canary that finds it."""
    engine = Greedy()
    async with bench() as on:
        await serve(on, engine)
        engine.behaviour = "one_then_hangs"
        await asyncio.sleep(60)
        assert not on.ready()


@pytest.mark.parametrize("behaviour", ["raises", "refuses"])
async def test_an_exam_that_fails_asks_for_a_canary(behaviour: str) -> None:
    """It may be wrong by itself: by it alone no endpoint is accused."""
    engine = Greedy()

    async def handler(request: Any) -> AsyncIterator[Any]:
        engine.behaviour = behaviour if "prompt" in request else "greedy"
        async for item in engine.generate(request):
            yield item

    async with bench(failure_threshold=1) as on:
        await on.endpoint().register(
            handler, health_check_payload=PAYLOAD, correctness_payloads=PROMPTS
        )
        await on.until_ready()
        await asyncio.sleep(60)
        assert on.ready()
        assert on.target().counts.failed == 0
        assert on.target().counts.unknown > 0


async def test_a_budget_is_kept() -> None:
    """An exam waits until all of its tokens can be paid for."""
    engine = Greedy()
    async with bench(canary_token_budget=1000) as on:
        await serve(on, engine)
        await asyncio.sleep(86_400)
        assert on.standing().spent.tokens <= 1000
        assert len(engine.exams) > 2 * LESSONS


async def test_what_was_learned_is_kept_by_engine(tmp_path: Path) -> None:
    """The same engine is judged by it at once; another payload is another engine."""
    path = tmp_path / "state"
    memory = Memory(path)
    engine = Greedy()
    chosen: dict[str, Any] = {"correctness_policy": "notready", "correctness_tokens": 16}
    async with Bench(**chosen) as on:
        on.board.memory = memory
        await learned(on, engine)
        assert memory.keep(on.board.remembered())
        memory.write()
    written: Any = json.loads(path.read_text())
    assert len(written["endpoints"][ADDRESS]["answers"]["prompts"]) == 2
    again = Memory(path)
    again.load()
    async with Bench(**chosen) as on:
        on.board.memory = again
        engine.weights = 50
        examiner = await serve(on, engine)
        assert examiner.correctness.learned
        await asyncio.sleep(INTERVAL * 2)
        assert examiner.correctness.wrong is not None
        assert examiner.correctness.wrong.wrong is Wrong.TOKENS
    async with Bench(**chosen) as on:
        on.board.memory = again
        await on.endpoint().register(
            engine.generate,
            health_check_payload={"token_ids": [2]},
            correctness_payloads=PROMPTS,
        )
        (watched,) = on.board.endpoints.values()
        assert watched.examiner is not None
        assert not watched.examiner.correctness.learned


async def test_a_reference_that_is_given_is_compared_with(tmp_path: Path) -> None:
    """By the endpoint's own names of its payloads, and nothing is learned."""
    path, engine = tmp_path / "reference.json", Greedy()
    async with bench() as on:
        examiner = await learned(on, engine)
        (watched,) = on.board.endpoints.values()
        sheet = examiner.sheet()
        assert sheet is not None
        Reference({watched.engine: sheet}).write(str(path))
    engine.weights = 50
    async with bench(correctness_reference=str(path)) as on:
        examiner = await serve(on, engine)
        assert examiner.correctness.given
        assert examiner.sheet() is None
        await asyncio.sleep(INTERVAL + 10)
        assert not on.readiness().ready
        assert examiner.answers[Mark.LEARNED] == 0


async def test_a_reference_of_other_engines_is_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first answers are taken for right, and a warning says so."""
    path = tmp_path / "reference.json"
    Reference({"vllm, tiny": Sheet(16, {"one": Lesson()})}).write(str(path))
    async with bench(correctness_reference=str(path)) as on:
        examiner = await learned(on, Greedy())
        assert not examiner.correctness.given
    assert "the reference has no answers of 'library, payload" in caplog.text


async def test_a_handler_of_another_shape_is_read_by_its_owner() -> None:
    """What an item brings is said by `transcript`."""

    async def handler(request: Any) -> AsyncIterator[Any]:
        for place in range(request.get("max_tokens", 1)):
            await asyncio.sleep(0.01)
            yield ("piece", place)

    def read(item: Any) -> Transcript:
        return Transcript((item[1],))

    async with bench() as on:
        await on.endpoint().register(
            handler,
            health_check_payload=PAYLOAD,
            correctness_payloads=PROMPTS,
            transcript=read,
        )
        await asyncio.sleep(60)
        (watched,) = on.board.endpoints.values()
        assert watched.examiner is not None
        assert watched.examiner.correctness.lessons[0].tokens == tuple(range(16))


@pytest.mark.parametrize(
    ("given", "payload", "message"),
    [
        (PAYLOAD, PAYLOAD, "correctness_payloads .*: is a dict; accepted: a list of mappings"),
        (["x"], PAYLOAD, "correctness_payloads x: is a str; accepted: a mapping"),
        (PROMPTS, None, "correctness_payloads are given, and no health_check_payload"),
    ],
)
async def test_bad_payloads_are_refused(given: Any, payload: Any, message: str) -> None:
    """With what is accepted."""
    async with bench() as on:
        with pytest.raises(SettingsError, match=message):
            await on.endpoint().register(
                Greedy().generate, health_check_payload=payload, correctness_payloads=given
            )
