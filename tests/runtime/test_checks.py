"""Custom checks: any async callable, asked like a canary."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from serinus.core.evidence import CanaryFailed, CanaryFault, CanaryPassed
from serinus.core.status import Reason, Rule
from serinus.errors import LifecycleError, SettingsError
from serinus.runtime.checks import as_question
from tests.runtime.benches import Bench
from tests.runtime.engines import Engine


async def check(answer: Any = True) -> Any:
    """Answer after a tenth of a second."""
    await asyncio.sleep(0.1)
    return answer


class Disk:
    """A check with a state."""

    def __init__(self) -> None:
        self.good = True
        self.asked = 0

    async def __call__(self) -> bool:
        """Say how it is."""
        self.asked += 1
        return self.good


@pytest.mark.parametrize("answer", [True, None, 0, "fine"])
async def test_a_check_passes_unless_it_says_false(answer: Any) -> None:
    """Most checks return nothing, or raise."""
    ask = as_question("disk", functools.partial(check, answer), asyncio.get_running_loop().time)
    (passed,) = await ask()
    assert isinstance(passed, CanaryPassed)
    assert passed.total == pytest.approx(0.1)


async def test_a_check_that_says_false_fails_by_its_name() -> None:
    """With the time that it took."""
    ask = as_question("disk", functools.partial(check, False), asyncio.get_running_loop().time)
    (failed,) = await ask()
    assert isinstance(failed, CanaryFailed)
    assert (failed.fault, failed.detail) == (CanaryFault.ERROR_ITEM, "disk returned False")
    assert failed.at - failed.sent == pytest.approx(0.1)


@pytest.mark.parametrize("wrong", [print, Engine().generate, 5, Disk])
def test_what_is_no_async_callable_is_refused(wrong: Any) -> None:
    """When it is added, and not when it is asked."""
    with pytest.raises(SettingsError) as caught:
        as_question("disk", wrong, lambda: 0.0)
    message = str(caught.value)
    assert message.startswith("check 'disk': ")
    assert message.endswith(
        " is not an async callable; accepted: 'async def check() -> bool | None'"
    )


@pytest.mark.parametrize(
    ("interval", "timeout"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1), (1, float("nan"))]
)
async def test_a_check_without_a_pace_or_a_time_limit_is_refused(
    interval: float, timeout: float
) -> None:
    """With the values, and what is accepted."""
    async with Bench() as bench:
        question = as_question("disk", Disk(), bench.loop.time)
        with pytest.raises(SettingsError) as caught:
            bench.board.add_check("disk", question, interval=interval, timeout=timeout)
        assert str(caught.value) == (
            f"check 'disk': interval {interval!r}, timeout {timeout!r}; "
            "accepted: seconds greater than 0"
        )


async def test_a_check_of_the_process_decides_its_readiness() -> None:
    """Asked at once and at its own interval; it turns as a canary does."""
    async with Bench() as bench:
        disk = Disk()
        bench.board.add_check(
            "disk", as_question("disk", disk, bench.loop.time), interval=5, timeout=1
        )
        assert bench.readiness().rule is Rule.CHECKS
        assert bench.readiness().blocking == ("disk",)
        await asyncio.sleep(21)
        assert disk.asked == 5
        assert bench.readiness().rule is Rule.PROCESS_STATUS
        disk.good = False
        await asyncio.sleep(5)
        assert bench.readiness().blocking == ("disk",)
        disk.good = True
        await asyncio.sleep(5)
        assert bench.readiness().rule is Rule.PROCESS_STATUS


async def test_a_check_of_an_endpoint_decides_that_endpoint() -> None:
    """And ends with it."""
    async with Bench() as bench:
        endpoint = await bench.serve(Engine())
        await bench.serve(Engine(), "demo.backend.other")
        disk = Disk()
        disk.good = False
        endpoint.add_check("disk", disk, interval=5, timeout=1)
        await asyncio.sleep(1)
        (other,) = (h for h in bench.board.health() if h.address.endpoint == "other")
        (checked,) = (h for h in bench.board.health() if h.address.endpoint == "generate")
        assert other.ready
        assert (checked.reason, checked.failing) == (Reason.CHECK_FAILED, ("disk",))
        owners = [report.owner for report in bench.board.report().checks]
        assert owners == ["demo.backend.generate"]
        await endpoint.withdraw()
        asked = disk.asked
        await asyncio.sleep(60)
        assert disk.asked == asked


async def test_two_checks_of_one_name_are_told_apart_or_refused() -> None:
    """One name may be used once by each owner."""
    async with Bench() as bench:
        endpoint = await bench.serve(Engine())
        question = as_question("disk", Disk(), bench.loop.time)
        bench.board.add_check("disk", question, interval=5, timeout=1)
        endpoint.add_check("disk", Disk(), interval=5, timeout=1)
        with pytest.raises(LifecycleError, match=r"^check 'disk' exists already$"):
            bench.board.add_check("disk", question, interval=5, timeout=1)
        with pytest.raises(LifecycleError, match=r"^check 'disk' exists already$"):
            endpoint.add_check("disk", Disk(), interval=5, timeout=1)


async def test_a_check_that_hangs_or_raises_fails() -> None:
    """As a canary does."""

    async def hangs() -> None:
        await asyncio.sleep(1e9)

    async def raises() -> None:
        raise OSError("disk full")

    async with Bench() as bench:
        for name, wrong in (("hangs", hangs), ("raises", raises)):
            question = as_question(name, wrong, bench.loop.time)
            bench.board.add_check(name, question, interval=5, timeout=1)
        await asyncio.sleep(2)
        reasons = {name: c.standing.verdict.reason for name, c in bench.board.checks.items()}
        assert reasons == {"hangs": Reason.CANARY_TIMEOUT, "raises": Reason.CANARY_RAISED}
