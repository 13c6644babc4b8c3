"""An endpoint that serves, but not as it should: what is said of it, and what becomes of it."""

from __future__ import annotations

import pytest

from serinus.core.report import as_json
from serinus.core.status import Reason
from serinus.errors import SettingsError
from serinus.runtime import metrics
from tests.runtime.benches import ADDRESS, PAYLOAD, Bench
from tests.runtime.engines import Engine

WORD, TOLD = "slow_first_token", "0.90 s, usually 0.10 s"


async def test_a_flaw_is_told_and_changes_nothing_else() -> None:
    """Degraded is not a verdict: it stays ready, with the word, its figures and a transition."""
    async with Bench() as bench:
        await bench.serve(Engine())
        await bench.until_ready()
        (watched,) = bench.board.endpoints.values()
        changes = bench.changes
        bench.board.flaw(watched, WORD, TOLD)
        bench.board.flaw(watched, WORD, "0.95 s")
        assert bench.changes == changes + 1  # the same word again is no news
        assert bench.readiness().ready
        (health,) = bench.board.health()
        assert health.impaired
        assert health.degraded == (WORD,)
        report = as_json(bench.board.report(), wall=str)
        assert report["degraded"] == [f"{ADDRESS}: {WORD}"]
        told = report["endpoints"][ADDRESS]  # type: ignore[index, call-overload]
        assert (told["status"], told["degraded"], told["flaws"]) == (  # type: ignore[index, call-overload]
            "ready",
            [WORD],
            {WORD: "0.95 s"},
        )
        turn = bench.board.history.transitions[-1]
        assert (turn.before, turn.after, turn.reason, turn.detail) == (
            "ready",
            "degraded",
            WORD,
            TOLD,
        )


async def test_what_is_right_again_is_told_once() -> None:
    """Mending what is not off says nothing."""
    async with Bench() as bench:
        await bench.serve(Engine())
        await bench.until_ready()
        (watched,) = bench.board.endpoints.values()
        bench.board.flaw(watched, WORD, TOLD)
        bench.board.mend(watched, WORD, "0.10 s again")
        changes = bench.changes
        bench.board.mend(watched, WORD, "0.10 s again")
        assert bench.changes == changes
        assert not bench.board.health()[0].impaired
        assert bench.board.history.transitions[-1].after == "ready"


async def test_the_metric_names_what_is_off() -> None:
    """One sample a flaw, and none where nothing is off."""
    async with Bench() as bench:
        await bench.serve(Engine())
        await bench.until_ready()
        (watched,) = bench.board.endpoints.values()
        assert b"serinus_endpoint_degraded{" not in metrics.render(bench.board, bench.served)
        bench.board.flaw(watched, WORD, TOLD)
        page = metrics.render(bench.board, bench.served).decode()
        (line,) = (one for one in page.splitlines() if one.startswith("serinus_endpoint_degraded{"))
        assert 'what="slow_first_token"' in line
        assert line.endswith(" 1")


@pytest.mark.parametrize(("setting", "own"), [("notready", None), ("report", "notready")])
async def test_a_policy_may_take_it_out(setting: str, own: str | None) -> None:
    """By the settings or an endpoint's own word; liveness is not touched."""
    async with Bench(degraded_policy=setting) as bench:
        endpoint = bench.endpoint()
        await endpoint.register(
            Engine().generate, health_check_payload=PAYLOAD, degraded_policy=own
        )
        await bench.until_ready()
        (watched,) = bench.board.endpoints.values()
        bench.board.flaw(watched, WORD, TOLD)
        (health,) = bench.board.health()
        assert (health.ready, health.reason) == (False, Reason.DEGRADED)
        assert not health.impaired
        assert not bench.readiness().ready
        assert bench.liveness().live
        told = as_json(bench.board.report(), wall=str)["endpoints"]
        assert told[ADDRESS]["reason"] == "degraded"  # type: ignore[index, call-overload]
        bench.board.mend(watched, WORD, "")
        assert bench.readiness().ready


async def test_an_endpoints_own_policy_goes_before_the_settings() -> None:
    """`report` keeps it ready though the settings say `notready`."""
    async with Bench(degraded_policy="notready") as bench:
        await bench.endpoint().register(
            Engine().generate, health_check_payload=PAYLOAD, degraded_policy="report"
        )
        await bench.until_ready()
        (watched,) = bench.board.endpoints.values()
        bench.board.flaw(watched, WORD, TOLD)
        assert bench.readiness().ready


async def test_a_policy_that_does_not_exist_is_refused() -> None:
    """With what would be accepted."""
    async with Bench() as bench:
        with pytest.raises(SettingsError, match="degraded_policy 'off'; accepted: 'report' or"):
            await bench.endpoint().register(
                Engine().generate, health_check_payload=PAYLOAD, degraded_policy="off"
            )
