"""How long a token takes under users' work: what is measured, and what is left out."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.engines import Counters, Pace
from serinus.sidecar.pace import Measure, Pacer
from tests.sidecar.pacing import KINDS, course

GAP = 0.05
SPAN = 5.0
every_kind = pytest.mark.parametrize("kind", KINDS)
known = pytest.mark.parametrize("pace", [pace for pace in Pace if pace is not Pace.UNKNOWN])


class Page:
    """A page whose requests all bring a token every `gap` seconds, in steps; read once a second."""

    def __init__(self, pace: Pace, *, running: int = 2, gap: float = GAP) -> None:
        self.pacer = Pacer(pace, span=SPAN)
        self.pace = pace
        self.gap = gap
        self.now = 0.0
        self.page = Counters(
            running=running, waiting=0, steps=7, ended=3, prompts=9, gaps=5, gap_seconds=0.4
        )
        self.measures: list[Measure] = []

    def pass_by(self, seconds: float = 1.0, **changed: float) -> None:
        """Let tokens come for so long, then set what has changed."""
        page, steps = self.page, seconds / self.gap
        each = 1 if self.pace is Pace.OWN_APART else page.running or 0
        self.page = replace(
            page,
            steps=(page.steps or 0) + steps,
            gaps=(page.gaps or 0) + steps * each,
            gap_seconds=(page.gap_seconds or 0) + steps * each * self.gap,
        )
        self.now += seconds
        self.page = replace(self.page, **changed)

    def read(self, *, took: float = 0.0, busy: bool = True) -> None:
        """Read it."""
        began, self.now = self.now, self.now + took
        self.measures += self.pacer.read(self.page, began=began, at=self.now, busy=busy)

    def read_late(self, took: float) -> None:
        """Read it as it is, and have it after so long; tokens come meanwhile."""
        began = self.now
        self.measures += self.pacer.read(self.page, began=began, at=began + took, busy=True)
        self.pass_by(took)

    def shown(self) -> None:
        """Read it twice, with a prompt in between: what runs has had its prompt read."""
        self.read()
        self.pass_by(prompts=(self.page.prompts or 0) + 1)
        self.read()

    def steady(self, seconds: int, *, took: float = 0.0) -> None:
        """Let nothing but tokens come."""
        for _ in range(seconds):
            self.pass_by()
            self.read(took=took)

    @property
    def compared(self) -> list[Measure]:
        """Those measures that are compared with the past."""
        return [one for one in self.measures if one.running is not None]

    @property
    def asked(self) -> list[Measure]:
        """Those that are held against an objective."""
        return [one for one in self.measures if one.running is None]


@known
def test_steady_work_is_measured_at_its_load(pace: Pace) -> None:
    """The mean time from token to token of one request, however many there are."""
    page = Page(pace, running=3)
    page.shown()
    page.steady(30)
    assert len(page.compared) >= 5
    assert {one.running for one in page.compared} == {3}
    assert [one.gap for one in page.measures] == pytest.approx([GAP] * len(page.measures))


def test_an_engine_of_which_it_is_not_known_is_not_measured() -> None:
    """Whatever is on its page."""
    page = Page(Pace.UNKNOWN)
    page.shown()
    page.steady(30)
    assert page.measures == []


@known
def test_the_first_measure_is_of_several_seconds_and_tokens(pace: Pace) -> None:
    """A second is a chance, and so are a few tokens."""
    page = Page(pace)
    page.shown()
    page.steady(4)
    assert page.compared == []
    slow = Page(pace, gap=2.0)
    slow.shown()
    slow.steady(14)
    assert slow.compared == []
    slow.steady(3)
    assert [one.gap for one in slow.compared] == pytest.approx([2.0])


@known
@pytest.mark.parametrize("gap", [0.7, 3.0, 20.0])
def test_tokens_that_come_less_often_than_readings_are_measured(pace: Pace, gap: float) -> None:
    """Whole tokens move the page, and many readings see none."""
    page = Page(pace, running=1)
    page.shown()
    steps = 0.0
    for second in range(1, int(30 * gap)):
        came = second // gap - steps
        steps += came
        page.page = replace(
            page.page,
            steps=(page.page.steps or 0) + came,
            gaps=(page.page.gaps or 0) + came,
            gap_seconds=(page.page.gap_seconds or 0) + came * gap,
        )
        page.now += 1
        page.read()
    assert len(page.compared) >= 2
    assert [one.gap for one in page.compared] == pytest.approx([gap] * len(page.compared), rel=0.2)


@known
def test_requests_that_wait_are_no_like_load(pace: Pace) -> None:
    """A full engine puts requests off and takes them up again."""
    page = Page(pace)
    page.shown()
    page.page = replace(page.page, waiting=1)
    page.steady(30)
    assert page.compared == []


@known
def test_other_numbers_of_requests_are_no_like_load(pace: Pace) -> None:
    """Nobody knows when they began; an eighth more is nearly the same."""
    page = Page(pace, running=4)
    page.shown()
    for _ in range(15):
        page.pass_by(running=6)
        page.read()
        page.pass_by(running=4)
        page.read()
    assert page.compared == []
    many = Page(pace, running=64)
    many.shown()
    for _ in range(15):
        many.pass_by(running=60)
        many.read()
        many.pass_by(prompts=(many.page.prompts or 0) + 1, running=64)
        many.read()
    assert many.compared


@pytest.mark.parametrize("pace", [Pace.OWN, Pace.OWN_BY_STEP, Pace.STEPS])
def test_prompts_that_are_read_are_no_slowness(pace: Pace) -> None:
    """More of them than tokens of answers, and a token takes longer than it need."""
    page = Page(pace)
    page.shown()
    for _ in range(30):
        page.pass_by(prompts=(page.page.prompts or 0) + 2 / GAP + 1)
        page.read()
    assert page.compared == []
    for _ in range(30):
        page.pass_by(prompts=(page.page.prompts or 0) + 2 / GAP - 1)
        page.read()
    assert page.compared


def test_decode_steps_apart_have_no_prompts_in_them() -> None:
    """Then it does not matter how many are read."""
    page = Page(Pace.OWN_APART)
    page.shown()
    for _ in range(30):
        page.pass_by(prompts=(page.page.prompts or 0) + 10_000)
        page.read()
    assert page.compared


def test_a_request_that_takes_no_part_in_the_steps_is_reading() -> None:
    """A page of vLLM has a prompt when it is read: until then one is missing among the tokens."""
    page = Page(Pace.OWN_BY_STEP, running=3)
    page.shown()
    for _ in range(30):
        page.page = replace(page.page, running=2)
        page.pass_by(running=3)
        page.read()
    assert page.compared == []


def test_times_that_end_after_a_prompt_may_have_begun_before_it() -> None:
    """SGLang tells of up to 50 tokens at once: what follows a prompt at once is left out."""
    page = Page(Pace.OWN)
    page.shown()
    for _ in range(20):
        page.pass_by(prompts=(page.page.prompts or 0) + 10_000)
        page.read()
        page.pass_by()
        page.read()
    assert page.compared == []


def test_steps_without_a_shown_prompt_may_read_one() -> None:
    """llama.cpp's page has a prompt when anybody's token comes: who began has to be seen there."""
    page = Page(Pace.STEPS, running=0)
    page.read(busy=False)
    page.pass_by(running=1)
    page.read()
    page.steady(30)
    assert page.compared == []
    page.pass_by(prompts=(page.page.prompts or 0) + 1)
    page.read()
    page.steady(10)
    assert page.compared


def test_another_request_in_the_place_of_one_may_read_its_prompt() -> None:
    """As many run as before; but one has ended, and no prompt was seen."""
    page = Page(Pace.STEPS, running=1)
    page.shown()
    page.steady(3)
    page.pass_by(ended=(page.page.ended or 0) + 40)
    page.read()
    page.steady(30)
    assert page.compared == []


def test_a_prompt_seen_with_the_end_of_another_request_is_of_the_one_that_began() -> None:
    """Since all before it had been read."""
    page = Page(Pace.STEPS, running=1)
    page.shown()
    for _ in range(5):
        ended, prompts = (page.page.ended or 0) + 40, (page.page.prompts or 0) + 3
        page.pass_by(ended=ended, prompts=prompts)
        page.read()
        page.steady(7)
    assert page.compared


def test_a_prompt_seen_with_an_end_may_be_of_the_one_that_ended() -> None:
    """Where none that run had been read: a short answer, and behind it a long prompt."""
    page = Page(Pace.STEPS, running=0)
    page.read(busy=False)
    page.pass_by(running=1, prompts=(page.page.prompts or 0) + 3, ended=(page.page.ended or 0) + 1)
    page.read()
    page.steady(30)
    assert page.compared == []


def test_requests_in_step_with_each_other_are_known_to_be_read_after_the_second_round() -> None:
    """All end and begin anew between two readings, again and again."""
    page = Page(Pace.STEPS, running=3)
    page.read()
    for _ in range(10):
        ended, prompts = (page.page.ended or 0) + 4500, (page.page.prompts or 0) + 3
        page.pass_by(ended=ended, prompts=prompts)
        page.read()
        page.steady(2)
    assert page.compared


def test_a_request_that_comes_beside_others_may_read_its_prompt() -> None:
    """Releases whose page has a prompt only when it is read."""
    page = Page(Pace.STEPS, running=1)
    page.shown()
    page.pass_by(running=2)
    page.read()
    page.steady(30)
    assert page.compared == []


def test_a_request_that_ended_leaves_the_others_as_they_were() -> None:
    """Fewer run: nobody has come in its place."""
    page = Page(Pace.STEPS, running=3)
    page.shown()
    page.pass_by(running=2, ended=(page.page.ended or 0) + 40)
    page.read()
    page.steady(10)
    assert page.compared


def test_a_late_page_says_too_little_of_when() -> None:
    """Where steps are counted by our clock; the times of an engine's own are what they are."""
    by_clock = Page(Pace.STEPS)
    by_clock.shown()
    for second in range(60):
        by_clock.pass_by()
        by_clock.read_late(4.0 if second % 2 else 0.0)
        if second % 10 == 0:  # what was put together so far is all there is
            by_clock.pass_by(waiting=1)
            by_clock.read()
            by_clock.pass_by(waiting=0)
    assert len(by_clock.compared) >= 3
    assert [one.gap for one in by_clock.compared] == pytest.approx(
        [GAP] * len(by_clock.compared), rel=0.34
    )
    own = Page(Pace.OWN)
    own.shown()
    own.steady(30, took=0.5)
    assert own.compared


@known
def test_a_counter_that_went_down_is_another_engine(pace: Pace) -> None:
    """What was put together is forgotten with the one before."""
    page = Page(pace, gap=9.0)
    page.shown()
    page.steady(40)
    page.measures.clear()
    page.gap = GAP
    page.page = Counters(
        running=2, waiting=0, steps=1, ended=0, prompts=1, gaps=1, gap_seconds=0.01
    )
    page.shown()
    page.steady(20)
    assert page.measures
    assert [one.gap for one in page.measures] == pytest.approx([GAP] * len(page.measures))


@known
def test_a_page_that_was_not_read_ends_a_stretch(pace: Pace) -> None:
    """Who ran in between is not known."""
    page = Page(pace)
    page.shown()
    for _ in range(30):
        page.steady(1)
        page.pacer.lost()
    assert page.compared == []


def test_what_an_objective_asks_for_is_measured_under_any_load() -> None:
    """With prompts, a queue and other numbers of requests, where the page has times of its own."""
    for pace in (Pace.OWN, Pace.OWN_BY_STEP, Pace.OWN_APART):
        page = Page(pace)
        page.read()
        for running in (3, 5, 8, 2) * 5:
            prompts = (page.page.prompts or 0) + 5000
            page.pass_by(running=running, waiting=4, prompts=prompts)
            page.read()
        assert page.compared == []
        assert page.asked


def test_by_steps_an_objective_is_not_measured() -> None:
    """A step may have read prompts alone, and nobody waited for a token in it."""
    page = Page(Pace.STEPS)
    page.shown()
    page.steady(30)
    assert page.asked == []


counts = st.none() | st.integers(0, 50)
pages = st.builds(
    Counters,
    running=counts,
    waiting=counts,
    steps=counts,
    ended=counts,
    prompts=counts,
    gaps=counts,
    gap_seconds=st.none() | st.floats(0, 50),
)


@given(
    pace=st.sampled_from(Pace),
    readings=st.lists(st.tuples(pages, st.floats(0, 10), st.floats(0, 5), st.booleans())),
)
def test_any_pages_are_read(
    pace: Pace, readings: list[tuple[Counters, float, float, bool]]
) -> None:
    """Numbers may lack, stand still and go down; a measure is a time that is not negative."""
    pacer, now = Pacer(pace, span=SPAN), 0.0
    for page, after, took, busy in readings:
        began, now = now + after, now + after + took
        for one in pacer.read(page, began=began, at=now, busy=busy):
            assert one.gap >= 0
            assert one.running is None or one.running > 0


@given(
    pace=st.sampled_from([Pace.OWN, Pace.OWN_BY_STEP]),
    steps=st.lists(
        st.tuples(
            st.floats(0.1, 5),  # seconds to the next reading
            st.integers(0, 40),  # requests that run there
            st.integers(0, 3),  # that wait
            st.integers(0, 5000),  # tokens of prompts in between
            st.booleans(),  # whether the page is read
        ),
        min_size=20,
    ),
)
def test_a_pace_that_does_not_change_is_measured_as_it_is(
    pace: Pace, steps: list[tuple[float, int, int, int, bool]]
) -> None:
    """Whatever else happens: no measure is of anything but the times on the page."""
    page = Page(pace)
    page.read()
    for seconds, running, waiting, prompts, read in steps:
        whole = (page.page.prompts or 0) + prompts
        page.pass_by(seconds, running=running, waiting=waiting, prompts=whole)
        if read:
            page.read(busy=bool(running or waiting))
        else:
            page.pacer.lost()
    assert all(one.gap == pytest.approx(GAP) for one in page.measures)


@every_kind
async def test_load_and_long_prompts_are_no_slowness_and_slowness_is(kind: str) -> None:
    """Users come and go, every twentieth with a prompt that takes up to 45 s to read."""
    async with course(kind, seed=3) as here:
        here.users += [asyncio.create_task(here.client(), name="a user") for _ in range(3)]
        await asyncio.sleep(420)
        assert here.ever == []
        assert len(here.compared) > 20
        here.fault("slow=10+120s")
        await asyncio.sleep(100)
        assert set(here.flaws) == {"slow_tokens"}
        await asyncio.sleep(120)
        assert here.flaws == {}


@every_kind
async def test_a_long_prompt_beside_an_answer_is_no_slowness(kind: str) -> None:
    """A step with a piece of a prompt takes ten times as long, for two minutes."""
    async with course(kind) as here:
        await asyncio.sleep(3)
        here.users.append(asyncio.create_task(here.answered(10, 5000), name="a user"))
        await asyncio.sleep(120)
        before = len(here.compared)
        assert before >= 12
        for _ in range(2):
            await here.answered(200_000, 2)
        assert here.ever == []
        await asyncio.sleep(30)
        assert len(here.compared) > before


@every_kind
async def test_a_long_prompt_alone_is_no_slowness(kind: str) -> None:
    """Users one after the other, most with short prompts, some with one of a minute and more."""
    async with course(kind) as here:
        await asyncio.sleep(3)
        for _ in range(6):
            await here.answered(10, 300)
        assert len(here.compared) >= 12
        for _ in range(3):
            await here.answered(300_000, 20)
            await here.answered(10, 100)
        assert here.ever == []


async def test_an_objective_is_held_under_any_load() -> None:
    """Met at first; missed by an engine that is slow, with what it comes to."""
    async with course("vllm", objective=0.3) as here:
        here.users += [asyncio.create_task(here.client(), name="a user") for _ in range(2)]
        await asyncio.sleep(200)
        assert here.flaws == {}
        here.fault("slow=10")
        await asyncio.sleep(200)
        assert set(here.flaws) == {"slow_tokens", "objective: token gap"}
