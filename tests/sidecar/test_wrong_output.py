"""Answers that are wrong, of an engine that is well by all other signs; and what is not wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from serinus.core.correctness import Correctness, Mark
from serinus.core.evidence import CanaryFault
from serinus.core.report import as_json
from serinus.core.status import Reason
from serinus.errors import SettingsError
from serinus.runtime.examiner import Examiner
from tests.engines.answers import sse
from tests.sidecar.rig import ScriptedEngine, SimRig, over, over_sim, scripted

pytestmark = pytest.mark.real_time

EXAMINED: dict[str, Any] = {
    "correctness_policy": "notready",
    "correctness_interval": 0.3,
    "correctness_tokens": 16,
    "canary_wait_time": 0.2,
    "health_check_request_timeout": 0.3,
}
LEARNING = 10.0
"""Seconds that fifteen answers take, one each 0.2 s, on a machine that is not quick."""
SEEN = 6.0


def examiner(rig: SimRig) -> Examiner:
    """Return who examines the first engine."""
    address = rig.sidecar.targets[0].address
    found = rig.sidecar.runtime.board.endpoints[address].examiner
    assert found is not None
    return found


def known(rig: SimRig) -> Correctness:
    """Return what is known of its answers."""
    return examiner(rig).correctness


async def until_learned(rig: SimRig) -> None:
    """Wait until its right answers are known."""
    await rig.until(lambda: known(rig).learned, seconds=LEARNING, what="learned")


@pytest.mark.parametrize(
    ("fault", "word"),
    [("garbage", "repetition"), ("nan", "nan"), ("repeat", "repetition"), ("drift", "tokens")],
)
async def test_wrong_answers_take_it_out_until_they_are_right(fault: str, word: str) -> None:
    """Each kind by its word; it was ready all the time by its tokens, and it is live."""
    async with over_sim(**EXAMINED) as rig:
        await until_learned(rig)
        rig.fault(fault)
        await rig.until(lambda: not rig.ready, seconds=SEEN, what="wrong")
        assert rig.live
        (health,) = rig.sidecar.runtime.board.health()
        assert health.reason is Reason.WRONG
        assert health.standing.verdict.ready
        wrong = known(rig).wrong
        assert wrong is not None
        assert wrong.wrong == word
        report: Any = as_json(rig.report, wall=str)
        (told,) = report["endpoints"].values()
        assert (told["status"], told["reason"]) == ("notready", "wrong")
        assert told["evidence"].startswith(f"{word}: ")
        assert told["correctness"]["state"] == "wrong"
        assert told["correctness"]["since"] is not None
        rig.clear()
        await rig.until(lambda: rig.ready, seconds=SEEN, what="right again")
        assert known(rig).wrong is None


async def test_an_exams_own_prompt_is_nobodys_company() -> None:
    """A running SGLang counts the tokens of prompts among those of its steps."""
    engine, counted = ScriptedEngine(), 0

    async def page(_: web.Request) -> web.StreamResponse:
        idle = "sglang:num_running_reqs 0\nsglang:num_queue_reqs 0\n"
        return web.Response(text=f"{idle}sglang:realtime_tokens_total {counted}\n")

    async def canary(request: web.Request) -> web.StreamResponse:
        nonlocal counted
        counted += 1
        return await ScriptedEngine.token()(request)

    async def exam(request: web.Request) -> web.StreamResponse:
        nonlocal counted
        body = await request.json()
        size = body["sampling_params"]["max_new_tokens"]
        counted += len(body["text"]) + size
        told = [[-0.1, 7 + place, None] for place in range(size)]
        meta = {
            "finish_reason": {"type": "length", "length": size},
            "completion_tokens": size,
            "output_token_logprobs": told,
            "output_top_logprobs": [[one, [-9.0, 1, None]] for one in told],
        }
        return web.Response(
            body=sse({"text": "x" * size, "meta_info": meta}), content_type="text/event-stream"
        )

    engine.answers |= {"/metrics": page, "/v1/completions": canary, "/generate": exam}
    async with scripted(engine) as url, over(url, engine="sglang", **EXAMINED) as rig:
        await rig.until_ready()
        address = rig.sidecar.targets[0].address
        examined = rig.sidecar.runtime.board.endpoints[address].examiner
        assert examined is not None
        await rig.until(
            lambda: examined.correctness.learned, seconds=LEARNING, what="learned from exams alone"
        )


@pytest.mark.parametrize("kind", ["sglang", "llamacpp", "openai", "transformers"])
async def test_every_engine_is_examined_as_well_as_it_tells(kind: str) -> None:
    """By ids, by the texts of tokens, or by its text alone; garbage is seen on all of them."""
    changed: dict[str, Any] = {"model": "tiny"} if kind == "transformers" else {}
    async with over_sim(kind=kind, **EXAMINED, **changed) as rig:
        await until_learned(rig)
        assert examiner(rig).answers[Mark.WRONG] == 0
        rig.fault("garbage")
        await rig.until(lambda: not rig.ready, seconds=SEEN, what="wrong")
        assert known(rig).wrong is not None


async def test_a_saturated_engine_that_depends_on_its_batch_is_never_wrong() -> None:
    """It is not asked while it is busy, and an answer that got company says nothing."""
    async with over_sim(**EXAMINED, slots=4) as rig:
        await until_learned(rig)
        rig.fault("noise=0.3")
        for _ in range(4):
            for _ in range(6):
                rig.user(tokens=40)
            await rig.holds(lambda: known(rig).wrong is None, seconds=0.7)
            await rig.users_leave()
        assert rig.ready
        assert examiner(rig).answers[Mark.WRONG] == 0
        await rig.until(
            lambda: examiner(rig).answers[Mark.RIGHT] > 3, seconds=SEEN, what="asked again"
        )


async def test_our_own_answers_are_not_taken_for_users_work() -> None:
    """An exam moves the counters by many tokens: nobody's progress, also if it was given up."""
    async with over_sim(**EXAMINED) as rig:
        await until_learned(rig)
        assert rig.standing().spent.tokens >= 15 * 16
        assert rig.standing().progress_at is None


async def test_at_most_one_question_is_in_flight() -> None:
    """An exam is a canary like any other."""
    async with over_sim(**EXAMINED) as rig:
        most = 0
        while not known(rig).learned:
            most = max(most, rig.inside)
            await asyncio.sleep(0.001)
        assert most == 1
        assert rig.standing().spent.tokens >= 15 * 16


async def test_an_exam_that_is_not_answered_is_a_failed_canary() -> None:
    """A hang is seen as soon as by any canary."""
    async with over_sim(**{**EXAMINED, "canary_wait_time": 60.0}) as rig:
        await rig.until(lambda: examiner(rig).warm, seconds=SEEN, what="asked")
        rig.fault("hang")
        await rig.until(lambda: not rig.ready, seconds=SEEN, what="not ready")
        assert rig.reason() is Reason.CANARY_TIMEOUT
        assert rig.standing().fault is not None
        assert rig.standing().fault.fault is CanaryFault.TIMEOUT  # type: ignore[union-attr]


async def test_an_engine_that_cannot_be_asked_so_stays_ready() -> None:
    """The question is at fault, and the usual one is asked instead."""
    engine = ScriptedEngine()
    plain = engine.answers["/v1/completions"]

    async def answer(request: Any) -> Any:
        if (await request.json())["max_tokens"] == 1:
            return await plain(request)
        return await ScriptedEngine.error(400, "logprobs are not supported")(request)

    engine.answers["/v1/completions"] = answer
    async with scripted(engine) as url, over(url, engine="openai", **EXAMINED) as rig:
        await rig.until_ready()
        address = rig.sidecar.targets[0].address
        found = rig.sidecar.runtime.board.endpoints[address].examiner
        assert found is not None
        await rig.until(lambda: bool(found.trouble), seconds=SEEN, what="refused")
        await rig.holds(lambda: rig.ready, seconds=1.0)
        assert "not supported" in found.trouble
        assert found.examined().state == "unknown"


async def test_what_was_learned_survives_a_restart(tmp_path: Path) -> None:
    """The engine comes back with other weights under the same name: that is wrong at once."""
    memory = {**EXAMINED, "state_file": str(tmp_path / "state")}
    async with over_sim(**memory) as rig:
        await until_learned(rig)
    async with over_sim(**memory) as rig:
        rig.fault("drift")
        await rig.until(lambda: not rig.ready, seconds=SEEN, what="wrong")
        assert examiner(rig).answers[Mark.LEARNED] == 0


async def test_a_bad_reference_stops_the_start(tmp_path: Path) -> None:
    """With the file and what is wrong with it."""
    path = tmp_path / "reference.json"
    path.write_text("{}")
    with pytest.raises(SettingsError, match=r"reference\.json: it is no reference"):
        async with over_sim(**EXAMINED, correctness_reference=str(path)):
            pass
