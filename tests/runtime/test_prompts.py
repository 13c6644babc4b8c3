"""A silence that may be the reading of a long prompt, and one that cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.runtime.prompts import Prompts, size_of
from serinus.runtime.traffic import accounted
from tests.runtime.benches import read
from tests.runtime.test_traffic import FOREVER, Account


@pytest.fixture
def account() -> Account:
    """Open an account."""
    return Account()


def learned(*, size: int, seconds: float, times: int = 8) -> Prompts:
    """Prompts of one size."""
    prompts = Prompts()
    for _ in range(times):
        prompts.read(size, seconds)
    return prompts


def test_nothing_is_known_before_enough_was_read() -> None:
    """Seven prompts are few."""
    assert learned(size=1000, seconds=0.1, times=7).longest([1000]) == inf
    assert learned(size=1000, seconds=0.1).longest([1000]) == pytest.approx(0.4, rel=0.05)


def test_a_prompt_that_is_longer_than_all_before_may_take_any_time() -> None:
    """As may one of which nobody knows the size."""
    prompts = learned(size=1000, seconds=0.1)
    assert prompts.longest([5000]) == inf
    assert prompts.longest([None]) == inf
    assert prompts.longest([1000, None]) == inf


def test_a_shorter_prompt_takes_no_longer() -> None:
    """Eight of a thousand tokens say enough of one of ten."""
    assert learned(size=1000, seconds=0.5).longest([10]) == pytest.approx(2.0, rel=0.05)


def test_the_times_of_its_own_size_are_preferred() -> None:
    """Long prompts do not make short ones slow."""
    prompts = learned(size=50_000, seconds=20.0)
    assert prompts.longest([10]) == pytest.approx(80, rel=0.05)
    for _ in range(8):
        prompts.read(10, 0.1)
    assert prompts.longest([10]) == pytest.approx(0.4, rel=0.05)


def test_several_may_be_read_one_after_the_other() -> None:
    """The margin is given once."""
    prompts = learned(size=1000, seconds=1.0)
    assert prompts.longest([1000, 1000, 1000]) == pytest.approx(6.0, rel=0.05)


def test_a_moment_is_always_allowed() -> None:
    """An engine of a millisecond may take a quarter of a second."""
    assert learned(size=10, seconds=0.001).longest([10]) == 0.25


def test_prompts_of_a_cache_do_not_say_that_long_ones_are_read_at_once() -> None:
    """One of their size that is in no cache may take as long, by the token, as others have."""
    prompts = learned(size=2000, seconds=1.0)
    for _ in range(100):
        prompts.read(30_000, 0.1)
    assert prompts.longest([30_000]) >= 15.0
    assert prompts.longest([2000]) == pytest.approx(4.0, rel=0.3)


def test_prompts_of_a_cache_make_nobody_forget_how_long_reading_takes() -> None:
    """One in a thousand is read, and that is enough."""
    prompts = learned(size=4000, seconds=2.0)
    for _ in range(1000):
        prompts.read(4000, 0.02)
    assert prompts.longest([4000]) >= 6.0


def test_a_single_slow_prompt_is_forgotten_as_soon_as_ever() -> None:
    """It may have waited for a warm-up."""
    prompts = Prompts()
    prompts.read(500, 60.0)
    for _ in range(3000):
        prompts.read(500, 0.05)
    assert prompts.longest([500]) < 1.0


def test_an_engine_that_has_become_quicker_is_believed_in_the_end() -> None:
    """As if all was in a cache, which takes a while."""
    prompts = learned(size=500, seconds=8.0, times=20)
    for _ in range(60_000):
        prompts.read(500, 0.05)
    assert prompts.longest([500]) < 1.0


@pytest.mark.parametrize(
    ("request_", "size"),
    [
        ({"token_ids": [1, 2]}, 2),
        ({"prompt_token_ids": (1, 2, 3)}, 3),
        ({"input_ids": range(5)}, 5),
        ({"prompt": "x" * 100}, 50),
        ({"prompt": [5, 6]}, 2),
        ({"prompt": ["a", "b"]}, None),
        ({"messages": [{"content": "x" * 10}, {"content": None}]}, 5),
        ({"messages": [{"content": [{"type": "image_url"}]}]}, None),
        ({"messages": "x"}, None),
        ({"token_ids": "abc"}, None),
        ({"token_ids": 7}, None),
        ({"token_ids": [1], "image_data": "…"}, None),
        ({}, None),
        ("text", None),
        (None, None),
    ],
)
def test_the_size_of_a_request_is_read_where_it_is_plain(request_: Any, size: int | None) -> None:
    """And not guessed elsewhere."""
    assert size_of(request_) == size


async def read_prompts(account: Account, *, size: int, seconds: int, times: int = 8) -> None:
    """Let the engine read so many prompts."""
    for _ in range(times):
        async for _item in accounted(account.traffic, account._stream((seconds, "a")), size):
            pass


async def newcomers_after(account: Account, seconds: int, *, size: int | None) -> bool:
    """Say whether a silence may be the reading of a prompt of this size."""
    stream = accounted(account.traffic, account._stream((FOREVER,)), size)
    task = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    account.clock.now += seconds
    newcomers = account.load().newcomers
    task.cancel()
    return bool(newcomers)


async def test_an_ordinary_prompt_is_not_read_for_ever() -> None:
    """After four times the longest reading of late the silence is not its."""
    account = Account()
    await read_prompts(account, size=100, seconds=1)
    assert await newcomers_after(account, 3, size=100)
    account = Account()
    await read_prompts(account, size=100, seconds=1)
    assert not await newcomers_after(account, 5, size=100)


@pytest.mark.parametrize("size", [None, 5000])
async def test_a_prompt_of_which_nothing_is_known_may_be(size: int | None) -> None:
    """As before."""
    account = Account()
    await read_prompts(account, size=100, seconds=1)
    assert await newcomers_after(account, 50, size=size)


async def test_prompts_of_unsettled_times_teach_nothing() -> None:
    """An outage or a planned pause is no reading."""
    account = Account()
    account.traffic.unsettled_at = account.clock.now + 1000
    await read_prompts(account, size=100, seconds=1)
    assert account.traffic.prompts.longest([100]) == inf


async def test_that_work_begins_is_told_at_once_and_once() -> None:
    """Or its silence would be noticed when the next canary is due."""
    account = Account()
    first, second = account.open(FOREVER), account.open(FOREVER)
    tasks = [asyncio.ensure_future(anext(one)) for one in (first, second)]
    await asyncio.sleep(0)
    assert [load.pending for load in account.begun] == [1]
    assert account.begun[0].newcomers
    for task in tasks:
        task.cancel()


async def test_an_answer_without_any_output_is_told_and_not_counted() -> None:
    """It brings a question; it is nobody's error."""
    account = Account()
    async for _item in account.open():
        pass
    [told] = account.told
    assert getattr(told, "fault", None) == "empty"
    assert account.traffic.errors == {}


async def test_an_error_is_not_an_empty_answer_too() -> None:
    """One word is enough."""
    account = Account()
    async for _item in account.open({"error": "x"}):
        pass
    assert [getattr(told, "fault", None) for told in account.told] == ["server"]


async def refused(account: Account, seconds: int, *, after: str = "") -> None:
    """Let a request be refused after so many seconds."""
    with pytest.raises(ValueError, match="too long"):
        await read(account.open(*after, seconds, ValueError("too long")))


async def test_refusals_by_validation_do_not_hide_that_an_engine_is_silent(
    account: Account,
) -> None:
    """They come at once, and are no word on what those are owed who wait for their first token."""
    others = asyncio.ensure_future(anext(account.open(FOREVER)))
    await asyncio.sleep(0)
    for _ in range(10):
        account.clock.now += 5
        await refused(account, 0)
    assert account.silence() == 50
    others.cancel()
    await asyncio.gather(others, return_exceptions=True)


async def test_refusals_do_not_hide_silence_in_the_middle_of_an_answer(account: Account) -> None:
    """Nor does one that took a while."""
    stream = account.open("a", "b", FOREVER)
    assert [await anext(stream), await anext(stream)] == ["a", "b"]
    others = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    for _ in range(10):
        await refused(account, 5)
    assert account.silence() == 50
    others.cancel()
    await asyncio.gather(others, return_exceptions=True)


async def test_refusals_do_not_hide_that_users_gave_up(account: Account) -> None:
    """The silence that adds up over them stays."""
    others = asyncio.ensure_future(anext(account.open(30, FOREVER)))
    await asyncio.sleep(0)
    others.cancel()
    await asyncio.gather(others, return_exceptions=True)
    await refused(account, 0)
    await refused(account, 7)
    others = asyncio.ensure_future(anext(account.open(FOREVER)))
    await asyncio.sleep(0)
    assert account.silence() == 30
    others.cancel()
    await asyncio.gather(others, return_exceptions=True)


async def test_what_a_refused_request_waited_is_no_silence(account: Account) -> None:
    """Alone, and where others came after it: theirs begins with them."""
    await refused(account, 4)
    gates = [asyncio.Event() for _ in range(20)]

    async def refuses(gate: asyncio.Event) -> AsyncIterator[str]:
        await gate.wait()
        if gate.is_set():
            raise ValueError("too long")
        yield ""

    tasks = []
    for nth, gate in enumerate(gates):
        tasks.append(asyncio.ensure_future(anext(accounted(account.traffic, refuses(gate)))))
        await asyncio.sleep(0)
        if nth:
            gates[nth - 1].set()
            await asyncio.wait([tasks[nth - 1]])
        assert account.silence() == 0
        account.clock.now += 4
        assert account.silence() == 4
    gates[-1].set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert account.silence() == 0
    assert account.traffic.expecting == {}


async def silences(deeds: list[int | str], *, refusals: bool) -> list[float]:
    """What an account says of the silence after each deed; a number lets so many seconds go by."""
    account, said = Account(), []
    waiting: list[asyncio.Task[Any]] = []
    for deed in deeds:
        if isinstance(deed, int):
            account.clock.now += deed
        elif deed == "begins":
            waiting.append(asyncio.ensure_future(anext(account.open(FOREVER))))
            await asyncio.sleep(0)
        elif deed == "goes on":
            await read(account.open("a", "b"))
        elif deed == "gives up" and waiting:
            task = waiting.pop(0)
            task.cancel()
            await asyncio.wait([task])
        elif deed == "refused" and refusals:
            await refused(account, 0)
        said.append(account.silence() if account.traffic.awaiting else -1.0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return said


DEEDS = st.sampled_from(["begins", "goes on", "gives up", "refused", "refused", 1, 5, 30])


@given(st.lists(DEEDS, max_size=25))
def test_what_is_refused_at_once_is_as_if_it_had_never_been(deeds: list[int | str]) -> None:
    """Whatever else goes on, and whoever waits."""

    async def both() -> None:
        assert await silences(deeds, refusals=True) == await silences(deeds, refusals=False)

    asyncio.run(both())
