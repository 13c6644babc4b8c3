"""What a metrics page brings about, on an engine whose page a test writes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from serinus.core.hearing import heard
from serinus.core.report import as_json
from serinus.core.status import Reason
from tests.sidecar.rig import DEADLINE, NOTICED, STALL, STANDS_STILL, ScriptedEngine, over, scripted

pytestmark = pytest.mark.real_time


class Counted(ScriptedEngine):
    """An engine with a page of vLLM's names; the numbers are set by the test."""

    def __init__(self, **numbers: float) -> None:
        super().__init__()
        self.numbers = numbers
        self.answers["/metrics"] = self.page

    async def page(self, _: web.Request) -> web.StreamResponse:
        """Write the numbers down."""
        lines = [f'vllm:{name}{{engine="0"}} {number}' for name, number in self.numbers.items()]
        return web.Response(text="\n".join([*lines, ""]))


def counted(*, running: float = 0, tokens: float = 1000) -> Counted:
    """An engine that tells of its work and of its tokens."""
    return Counted(
        num_requests_running=running, num_requests_waiting=0, generation_tokens_total=tokens
    )


async def test_users_progress_proves_an_engine_and_puts_its_canary_off() -> None:
    """Tokens that are not ours were brought to somebody."""
    engine = counted()
    async with scripted(engine) as url, over(url, canary_wait_time=0.5) as rig:
        await rig.until_ready()
        sent = rig.canaries

        async def work() -> None:
            while True:
                engine.numbers["generation_tokens_total"] += 50
                await asyncio.sleep(0.02)

        user = asyncio.create_task(work())
        try:
            await rig.until(lambda: rig.standing().progress_at is not None, seconds=2, what="seen")
            await rig.holds(lambda: rig.canaries <= sent + 1, seconds=1.5)
        finally:
            user.cancel()


async def test_an_engine_that_is_busy_from_the_start_is_proven_by_its_users() -> None:
    """It was there before the sidecar; nobody is asked on top of its work."""
    engine = counted(running=3)
    async with scripted(engine) as url, over(url) as rig:
        await rig.until(lambda: rig.standing().busy, seconds=2, what="busy")
        engine.numbers["generation_tokens_total"] += 100
        await rig.until_ready(2)
        assert rig.reason() is Reason.TRAFFIC
        assert rig.passed == 0
        assert engine.count("/v1/completions") == 0


async def test_counters_that_begin_anew_bring_a_canary_and_no_verdict() -> None:
    """A restart that was quicker than our looks: who answers now has proven nothing."""
    engine = counted()
    async with scripted(engine) as url, over(url, canary_wait_time=60) as rig:
        await rig.until_ready()
        asked = engine.count("/v1/completions")
        engine.numbers["generation_tokens_total"] = 3
        await rig.until(
            lambda: engine.count("/v1/completions") > asked, seconds=3, what="asked at once"
        )
        assert rig.ready
        assert rig.standing().progress_at is None


async def test_a_page_that_fails_is_unknown_and_never_idle() -> None:
    """Users' work does not vanish because the page does; no canary is put on top of it."""
    engine = counted(running=5)
    async with scripted(engine) as url, over(url) as rig:
        engine.numbers["generation_tokens_total"] += 100
        await rig.until(lambda: rig.standing().pending == 5, seconds=2, what="busy")
        engine.numbers["generation_tokens_total"] += 100
        await rig.until_ready()
        engine.answers["/metrics"] = engine.text("oops", status=500)
        asked = engine.count("/v1/completions")
        await rig.until(
            lambda: rig.watch.notes()["metrics"] == "unknown: no metrics page (HTTP 500)",
            seconds=2,
            what="unknown",
        )
        assert rig.standing().pending == 5
        assert engine.count("/v1/completions") == asked


async def test_a_page_that_stays_away_leaves_the_last_question_to_decide() -> None:
    """It passes, so work gets done: a lost page does not make a stall."""
    engine = counted(running=5)
    async with scripted(engine) as url, over(url) as rig:
        await rig.until(lambda: rig.standing().pending == 5, seconds=2, what="busy")
        engine.numbers["generation_tokens_total"] += 100
        await rig.until_ready()
        engine.answers["/metrics"] = engine.text("oops", status=500)
        await rig.holds(lambda: rig.ready, seconds=2 * STALL)


async def test_a_page_that_cannot_show_a_standstill_leaves_it_to_the_last_question_too() -> None:
    """It has the work and no tokens or steps: long requests look like silence."""
    engine = Counted(num_requests_running=0)
    async with scripted(engine) as url, over(url) as rig:
        await rig.until_ready()
        engine.numbers["num_requests_running"] = 2
        await rig.until(lambda: rig.standing().busy, seconds=2, what="busy")
        await rig.holds(lambda: rig.ready, seconds=2 * STALL)

        async def never(_: Any) -> Any:
            await asyncio.sleep(60)

        engine.answers["/v1/completions"] = never
        await rig.until(lambda: not rig.ready, seconds=STALL + DEADLINE + 1, what="stalled")
        assert rig.reason() in STANDS_STILL


async def test_a_page_that_hangs_does_not_hold_up_the_canary() -> None:
    """As llama-server's does when it is frozen: unknown, and the engine is asked."""
    engine = counted()

    async def never(_: Any) -> Any:
        await asyncio.sleep(60)

    async with scripted(engine) as url, over(url) as rig:
        await rig.until_ready()
        engine.answers["/metrics"] = never
        sent = rig.canaries
        await rig.until(lambda: rig.canaries >= sent + 2, seconds=4, what="canaries go on")
        assert rig.ready
        engine.answers["/v1/completions"] = never
        await rig.until(lambda: not rig.ready, seconds=NOTICED + 1, what="not ready")
        assert rig.reason() is Reason.CANARY_TIMEOUT


async def test_a_page_of_another_program_is_unknown() -> None:
    """It may be anything: binary, endless, or of names that nobody knows."""
    engine = counted()
    async with scripted(engine) as url, over(url) as rig:
        await rig.until_ready()
        for text in ("\x00\xff" * 10, "vllm:num_requests_running{ 3", "# nothing\n"):
            engine.answers["/metrics"] = engine.text(text)
            await asyncio.sleep(0.3)
            assert rig.ready
            assert rig.standing().pending in {0, None}


async def test_a_mistake_of_our_own_does_not_end_the_watch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported with its traceback, and the next look is taken."""
    engine = counted()
    async with scripted(engine) as url, over(url, canary_wait_time=60) as rig:
        await rig.until_ready()
        read = rig.watch.scraper.read

        async def broken(*, seconds: float) -> Any:
            raise ZeroDivisionError(f"in {seconds:g} s")

        monkeypatch.setattr(rig.watch.scraper, "read", broken)
        await rig.until(lambda: "ZeroDivisionError" in caplog.text, seconds=2, what="reported")
        monkeypatch.setattr(rig.watch.scraper, "read", read)
        engine.numbers["generation_tokens_total"] += 100
        await rig.until(lambda: rig.standing().progress_at is not None, seconds=2, what="seen")
    assert "serinus.vllm.generate: watching goes on after a mistake of our own" in caplog.text


async def test_an_engine_that_counts_at_the_end_is_not_called_stalled_in_the_middle() -> None:
    """As SGLang of older releases: its own health generates, and says that tokens come.

    A canary would have to wait for a slot; when the health keeps silent too, nobody vouches for it.
    Their `/health` does not generate: it says 200 to the end, and is no word for anybody's tokens.
    """
    engine = ScriptedEngine()
    engine.answers["/health_generate"] = engine.text("")
    silent = asyncio.Event()
    running = 0

    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text=f"sglang:num_running_reqs {running}\nsglang:num_queue_reqs 0\n")

    async def waits_for_a_slot(_: web.Request) -> web.StreamResponse:
        await silent.wait()
        return web.Response(status=500)

    engine.answers["/metrics"] = page
    async with scripted(engine) as url, over(url, engine="sglang") as rig:
        await rig.until_ready()
        running = 8
        engine.answers["/v1/completions"] = waits_for_a_slot
        await rig.until(lambda: rig.standing().busy, seconds=NOTICED, what="busy")
        await rig.holds(lambda: rig.ready, seconds=3 * STALL)
        engine.answers["/health_generate"] = waits_for_a_slot
        await rig.until(lambda: not rig.ready, seconds=4 * STALL + 5, what="not ready")
        assert rig.reason() in STANDS_STILL
        endpoint: Any = as_json(rig.report, wall=str)["endpoints"]
        [told] = endpoint.values()
        assert told["decided_by"] == "engine counters"
        assert engine.count("/health") == 0
        silent.set()


@pytest.mark.parametrize(
    ("engine", "tokens", "told"),
    [
        ("vllm", "vllm:generation_tokens_total", False),
        ("sglang", "sglang:realtime_tokens_total", False),
        ("sglang", "sglang:num_requests_total", None),
        ("llamacpp", "llamacpp:n_decode_total", None),
    ],
)
async def test_silence_that_a_long_prompt_would_break_is_no_long_prompt(
    engine: str, tokens: str, told: bool | None
) -> None:
    """SGLang counts the pieces of a prompt, where its page has the tokens of each step at all."""
    running = {"vllm": "vllm:num_requests_running", "sglang": "sglang:num_running_reqs"}
    name = running.get(engine, "llamacpp:requests_processing")
    scripted_engine, users, moved = ScriptedEngine(), 0, 0

    async def page(_: web.Request) -> web.StreamResponse:
        nonlocal moved
        moved += 9
        return web.Response(text=f"{name} {users}\n{tokens} {moved}\n")

    scripted_engine.answers["/metrics"] = page
    async with scripted(scripted_engine) as url, over(url, engine=engine) as rig:
        await rig.until_ready()
        users = 2
        await rig.until(lambda: rig.standing().busy, seconds=NOTICED, what="busy")
        assert rig.standing().newcomers is told


async def test_a_frozen_core_that_shows_no_work_is_found_by_the_idle_canary() -> None:
    """As vLLM's: running 0, waiting 0, counters still, and its own health says 200."""
    engine = counted()
    frozen = asyncio.Event()

    async def hangs(_: web.Request) -> web.StreamResponse:
        await frozen.wait()
        return web.Response(status=500)

    async with scripted(engine) as url, over(url) as rig:
        await rig.until_ready()
        engine.answers["/v1/completions"] = hangs
        await rig.until(lambda: not rig.ready, seconds=NOTICED + 1, what="not ready")
        assert rig.reason() is Reason.CANARY_TIMEOUT
        report = rig.report
        hearing = heard(report.endpoints[0].standing, report.endpoints[0].rules, now=report.at)
        assert str(hearing).startswith("decided by canary ")
        assert "; disagree: own health (200, " in str(hearing)
        frozen.set()


async def test_a_question_that_waits_for_another_one_of_ours_accuses_nobody() -> None:
    """It was never sent: it is unknown what would have been answered."""
    async with scripted(counted()) as url, over(url) as rig:
        await rig.until_ready()
        part = next(iter(rig.watch.ranks))
        async with part._asking:
            unknown = part.judged.counts.unknown
            await rig.until(
                lambda: part.judged.counts.unknown >= unknown + 3, seconds=8, what="not asked"
            )
            assert part.judged.counts.failed == 0
            assert rig.ready
        passed = rig.passed
        await rig.until(lambda: rig.passed > passed, seconds=3, what="asked again")
