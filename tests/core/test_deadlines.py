"""What is learned of an endpoint's times: the budgets it gives, and what does not teach."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.deadlines import Learned, Limits, Spread, phi, tuned
from serinus.core.evidence import (
    Blinded,
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    Evidence,
    Lease,
    Load,
    Progress,
    Registered,
    RequestFailed,
    RequestFault,
    Tick,
    Witness,
)
from serinus.core.rules import Rules
from serinus.core.status import Reason
from serinus.core.verdict import Standing

CONFIGURED = Rules()
LIMITS = Limits.of(
    8.0, deadline_floor=0.5, deadline_ceiling=3.0, stall_floor=2.0, stall_ceiling=60.0
)


class Life:
    """An endpoint that is judged by what it teaches, as the manager does it."""

    def __init__(self, limits: Limits = LIMITS, configured: Rules = CONFIGURED) -> None:
        self.limits, self.configured = limits, configured
        self.now = 0.0
        self.standing = Standing.of(Registered(0.0, canary=True))
        self.learned = Learned()

    @property
    def ready(self) -> bool:
        """Whether it is ready."""
        return self.standing.verdict.ready

    @property
    def rules(self) -> Rules:
        """What it is judged by."""
        return tuned(self.configured, self.learned, self.limits)

    def see(self, evidence: Evidence, *, late: float = 0.0) -> None:
        """Fold evidence, and learn from it."""
        before, self.standing = self.standing, self.standing.after(evidence, self.rules)
        self.learned = self.learned.after(evidence, before, self.standing, self.limits, late=late)

    def passed(self, total: float, *, after: float = 10.0, late: float = 0.0) -> None:
        """Let a canary pass, some time after the last thing."""
        self.now += after + total
        self.see(CanaryPassed(self.now, total, total), late=late)

    def failed(self, *, after: float = 10.0, seconds: float | None = None) -> None:
        """Let a canary time out."""
        took = self.rules.deadline if seconds is None else seconds
        self.now += after + took
        self.see(CanaryFailed(self.now, self.now - took, CanaryFault.TIMEOUT))

    def busy(self, *, newcomers: bool | None = False) -> None:
        """Let work begin that an engine's page tells of."""
        self.see(Load(self.now, 1, witness=Witness.COUNTERS, newcomers=newcomers))

    def progress(self, gap: float) -> None:
        """Let the page show progress after a gap."""
        self.now += gap
        self.see(Progress(self.now, Witness.COUNTERS))


def grown(total: float = 0.02, gap: float = 0.5) -> Life:
    """An endpoint of which enough is known, and which is busy."""
    life = Life()
    for _ in range(30):
        life.passed(total)
    life.busy()
    for _ in range(100):
        life.progress(gap)
    return life


def test_the_configured_values_hold_until_enough_was_seen() -> None:
    """A cold start judges as if nothing could be learned."""
    life = Life()
    for _ in range(12):  # the first proves it, four are owed, eight are enough
        life.passed(0.02)
        assert life.rules == CONFIGURED
    life.passed(0.02)
    assert life.rules.deadline == 0.5
    assert life.rules.doubt == 0
    life.busy()
    for _ in range(7):
        life.progress(0.5)
    assert life.rules.doubt == 0
    life.progress(0.5)
    assert life.rules.doubt == 2


def rested() -> Life:
    """An engine that was never seen at work, and whose canaries are quick."""
    life = Life()
    for _ in range(20):
        life.passed(0.02)
    assert life.rules.deadline == 0.5
    return life


def test_where_nobody_tells_of_work_the_second_question_has_the_configured_time() -> None:
    """The first may have waited for somebody's work; four good answers end that."""
    life = rested()
    life.failed()
    assert life.ready
    assert life.rules == CONFIGURED
    life.passed(1.5, after=0)
    for _ in range(4):
        assert life.rules == CONFIGURED
        assert life.ready
        life.passed(0.02)
    assert life.rules.deadline == 0.5


def test_an_engine_that_tells_that_it_is_idle_gets_no_more_time() -> None:
    """Nobody's work is in the way there: two questions of half a second."""
    life = rested()
    life.see(Load(life.now, 0, witness=Witness.COUNTERS))
    life.failed()
    assert life.rules.deadline == 0.5
    life.failed(after=0)
    assert not life.ready


@pytest.mark.parametrize("fault", [CanaryFault.ERROR_ITEM, CanaryFault.REFUSED, CanaryFault.EMPTY])
def test_an_answer_that_is_wrong_was_not_kept_waiting(fault: CanaryFault) -> None:
    """Whoever works for others is silent; an error came in time."""
    life = rested()
    life.now += 10
    life.see(CanaryFailed(life.now, life.now, fault))
    assert life.rules.deadline == 0.5


def test_work_that_nobody_tells_of_is_learned_like_any_lasting_change() -> None:
    """Answers that are late twice running are the engine's own times, without a false alarm."""
    life = rested()
    for _ in range(6):
        if life.rules.deadline < 0.9:
            life.failed()
        life.passed(0.9, after=0)
        assert life.ready
    assert life.learned.canaries.longest >= 0.85


def test_a_deadline_is_ten_times_what_is_typical_for_an_engine_of_clockwork() -> None:
    """The least spread at φ = 8, in steps of a tenth."""
    life = Life()
    for _ in range(40):
        life.passed(0.1)
    assert life.rules.deadline == pytest.approx(1.0, rel=0.1)


def test_what_is_spread_gets_more_time() -> None:
    """Within a factor of two each way, twenty times and more."""
    even, spread = Spread(), Spread()
    for number in range(64):
        even = even.after(0.1)
        spread = spread.after(0.05 if number % 2 else 0.2)
    budgets = [one.budget(5.6, least_spread=0.41, longest=0) for one in (even, spread)]
    assert budgets[1] > 4 * budgets[0]


def test_the_budget_is_where_phi_reaches_the_sensitivity() -> None:
    """The formula and the table of budgets are one."""
    spread = Spread()
    for seconds in (0.1, 0.13, 0.09, 0.2, 0.1, 0.12):
        spread = spread.after(seconds)
    budget = spread.budget(LIMITS.z, least_spread=0.41, longest=0)
    assert phi(spread, budget, least_spread=0.41) >= 8.0
    assert phi(spread, budget / 1.1, least_spread=0.41) <= 8.0


@given(
    st.lists(st.floats(0.0, 1e6), min_size=1, max_size=200),
    st.floats(1, 100),
    st.floats(0.001, 1e3),
    st.floats(0.001, 1e3),
)
def test_never_below_the_floor_nor_above_the_ceiling(
    times: list[float], sensitivity: float, floor: float, ceiling: float
) -> None:
    """Whatever is seen; a floor above its ceiling is the ceiling."""
    limits = Limits.of(
        sensitivity,
        deadline_floor=floor,
        deadline_ceiling=ceiling,
        stall_floor=floor,
        stall_ceiling=ceiling,
    )
    learned = Learned()
    for seconds in times:
        learned = Learned(learned.canaries.after(seconds), learned.gaps.after(seconds), owed=0)
        for budget in (learned.deadline(limits), learned.doubt(limits)):
            assert min(floor, ceiling) <= budget <= ceiling


SECONDS = st.floats(0.001, 100)
STEPS = st.one_of(
    *(
        st.tuples(st.just(kind), values)
        for kind, values in [
            ("canary", SECONDS),
            ("gap", SECONDS),
            ("on_top", SECONDS),
            ("beside", st.booleans()),
            ("owed", st.integers(0, 1)),
        ]
    )
)


def taken(learned: Learned, kind: str, value: Any) -> Learned:
    """Learn one thing."""
    match kind:
        case "canary":
            return learned._replace(canaries=learned.canaries.after(value))
        case "gap":
            return learned._replace(gaps=learned.gaps.after(value))
        case _:
            return learned._replace(**{kind: value})


@given(st.lists(STEPS, max_size=60), st.integers(0, 12), st.floats(0.5, 90))
def test_what_is_not_worked_out_again_is_as_if_it_were(
    steps: list[tuple[str, Any]], known: int, stall: float
) -> None:
    """Step by step, from the rules before each, or from all that was learned at once."""
    configured = CONFIGURED._replace(stall=stall)
    learned = Learned(owed=0)
    for number in range(known):
        learned = taken(taken(learned, "canary", 0.01 + number / 100), "gap", 0.1 + number / 10)
    rules = tuned(configured, learned, LIMITS)
    for kind, value in steps:
        before, learned = learned, taken(learned, kind, value)
        rules = tuned(configured, learned, LIMITS, so_far=(before, rules))
        assert rules == tuned(configured, learned, LIMITS)


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=80), st.floats(1, 50))
def test_longer_times_never_give_a_shorter_budget(times: list[float], factor: float) -> None:
    """Monotone: an engine that is slower throughout is given at least as long."""
    quick, slow = Spread(), Spread()
    for seconds in times:
        quick, slow = quick.after(seconds), slow.after(seconds * factor)
    one, other = (s.budget(5.6, least_spread=0.2, longest=3) for s in (quick, slow))
    assert other >= one * 0.999


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=80), st.floats(0.1, 20))
def test_a_more_sensitive_judge_is_never_slower(times: list[float], z: float) -> None:
    """A higher φ is a longer silence."""
    spread = Spread()
    for seconds in times:
        spread = spread.after(seconds)
    budgets = [spread.budget(one, least_spread=0.2, longest=2) for one in (z, z + 1)]
    assert budgets[0] <= budgets[1]


def test_an_outage_does_not_move_what_was_learned() -> None:
    """Time-outs, the tail of the outage, and the first words after it teach nothing."""
    life = grown()
    life.see(Load(life.now, 0, witness=Witness.COUNTERS))
    life.passed(0.02)
    before = life.learned
    assert life.rules.deadline == 0.5
    life.failed()
    assert (life.ready, life.rules.deadline) == (True, 0.5)  # the second question is as short
    life.failed(after=0.0)
    assert (life.ready, life.rules.deadline) == (False, 3.0)
    assert life.rules == CONFIGURED
    for _ in range(5):
        life.failed(after=3.0)
    life.passed(2.5, after=3.0)  # thawed while it was asked
    for _ in range(4):
        assert life.rules == CONFIGURED
        life.passed(0.03)
    assert life.rules.deadline == 0.5
    assert life.learned.canaries.longest <= before.canaries.longest
    assert life.learned.gaps == before.gaps


def test_a_lasting_slowness_is_followed() -> None:
    """Two late answers running are what the engine is like: it is accused once, and no more."""
    life = grown()
    life.see(Load(life.now, 0, witness=Witness.COUNTERS))
    fell = 0
    for _ in range(200):
        late = life.rules.deadline < 0.8
        was = life.ready
        if late:
            life.failed()
        else:
            life.passed(0.8)
        fell += was and not life.ready
    assert fell == 1
    assert life.rules.deadline >= 1.6


def test_a_gap_for_which_it_was_wrongly_called_stalled_is_learned_the_second_time() -> None:
    """An engine that cannot answer beside a long prompt is accused of it twice at the most."""
    life = grown()
    fell = 0
    for _ in range(6):
        for _ in range(30):
            life.progress(0.5)
        since, doubt = life.now, life.rules.doubt
        if 0 < doubt < 20:
            life.now = since + doubt
            sent, life.now = life.now, life.now + life.rules.on_top
            life.see(CanaryFailed(life.now, sent, CanaryFault.TIMEOUT))
            fell += not life.ready
        life.progress(since + 20 - life.now)
        assert life.ready
    assert fell == 2
    assert life.rules.doubt >= 60 or life.rules.doubt == 0


def test_first_tokens_in_a_standstill_teach_no_gap() -> None:
    """Many of them are one fault's, and say nothing of how long the engine is ever silent."""
    life = in_doubt(grown())
    before = life.learned.gaps
    for _ in range(5):
        life.now += 5
        life.see(Progress(life.now, flow=False, began_at=life.now))
        assert not life.ready
    assert (life.learned.gaps, life.learned.slow_gap) == (before, 0.0)


def test_a_gap_that_a_canary_on_top_explained_teaches_nothing() -> None:
    """The next one will be asked about too, which is all that it takes."""
    life = grown()
    before = life.learned.gaps
    life.now += 20
    life.see(CanaryPassed(life.now, 0.5, 0.5, flow=False))
    life.progress(10)
    assert life.learned.gaps == before
    assert life.learned.on_top == 0.5


def test_an_answer_right_after_a_pause_is_none_beside_a_long_prompt() -> None:
    """The pause was the silence; what the engine can do beside a prompt is not known by it."""
    life = grown()
    life.busy(newcomers=True)
    life.see(Lease(life.now, life.now + 60))
    life.now += 60
    life.passed(0.02, after=0.0)
    assert not life.learned.beside
    life.passed(0.02, after=10.0)
    assert life.learned.beside


@pytest.mark.parametrize(
    "between",
    [
        Lease(0.0, 1e9),
        Blinded(0.0, 0.0),
        RequestFailed(0.0, RequestFault.SERVER),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_is_excused_or_suspected_teaches_nothing(between: Evidence) -> None:
    """Neither its canaries nor its gaps."""
    life = grown()
    before = life.learned
    life.see(between._replace(at=life.now))
    life.progress(5.0)
    assert life.learned.gaps == before.gaps
    idle = grown()
    idle.see(Load(idle.now, 0, witness=Witness.COUNTERS))
    before = idle.learned
    idle.see(between._replace(at=idle.now))
    idle.passed(0.4)
    assert idle.learned.canaries == before.canaries


def test_an_answer_that_our_own_loop_delayed_teaches_nothing() -> None:
    """More than a tenth of its time was ours."""
    life = grown()
    life.see(Load(life.now, 0, witness=Witness.COUNTERS))
    before = life.learned
    life.passed(0.4, late=0.05)
    assert life.learned == before


def test_a_canary_beside_work_is_no_measure_of_an_idle_engine() -> None:
    """Its time counts for the next one on top alone."""
    life = grown()
    before = life.learned.canaries
    life.passed(0.4)
    assert life.learned.canaries == before
    assert life.rules.on_top >= 0.8


def test_time_alone_changes_nothing() -> None:
    """Nor does any other evidence while it is ready."""
    life = grown()
    before = life.learned
    life.see(Tick(life.now + 1))
    assert life.learned is before


@given(st.lists(st.floats(0.001, 30), max_size=300))
def test_what_is_kept_is_bounded(times: list[float]) -> None:
    """A few numbers, however much is seen."""
    life = Life()
    for seconds in times:
        life.passed(seconds)
    size = sum(map(sys.getsizeof, [life.learned, *life.learned, *life.learned.canaries]))
    assert size < 1500


def test_a_hang_of_work_is_seen_soon_once_learned() -> None:
    """The doubt, then a canary on top: a few seconds instead of the stall budget."""
    life = grown()
    since = life.standing.flow_at
    doubted_at = life.standing.doubted_at(life.rules)
    assert doubted_at == pytest.approx(since + 2.0)
    sent, life.now = since + 2.0, since + 2.0 + life.rules.on_top
    life.see(CanaryFailed(life.now, sent, CanaryFault.TIMEOUT))
    assert life.now - since <= 3.1
    assert life.standing.verdict.reason is Reason.STALLED
    assert life.standing.hangs_at(life.rules) == since + 60 + 60  # liveness has time


def in_doubt(life: Life) -> Life:
    """Let a canary on top of work that stands still get no answer."""
    doubt = life.rules.doubt
    sent, life.now = life.now + doubt, life.now + doubt + life.rules.on_top
    life.see(CanaryFailed(life.now, sent, CanaryFault.TIMEOUT))
    return life


@pytest.mark.parametrize("newcomers", [True, None])
def test_what_may_be_a_long_prompt_is_not_accused(newcomers: bool | None) -> None:
    """Some engines read it to its end before they answer anybody; the stall budget judges."""
    life = grown()
    life.busy(newcomers=newcomers)
    assert in_doubt(life).ready
    life.see(Tick(life.standing.flow_at + 60))
    assert life.standing.verdict.reason is Reason.STALLED


def test_an_engine_that_answers_beside_a_long_prompt_is_believed_to_do_so_again() -> None:
    """From then on, no answer is a hang; until it turns out not to be."""
    life = grown()
    life.busy(newcomers=True)
    life.now += 6
    life.see(CanaryPassed(life.now, 0.2, 0.2, flow=False))
    assert life.rules.beside
    life.progress(1)
    in_doubt(life)
    assert not life.ready
    life.progress(1)
    assert not life.learned.beside


def test_an_answer_that_came_with_the_prompts_first_token_says_nothing_of_the_next_prompt() -> None:
    """It may have waited for it."""
    life = grown()
    life.busy(newcomers=True)
    life.now += 8
    life.see(Progress(life.now - 0.1, flow=False, began_at=life.now - 0.1))
    life.see(CanaryPassed(life.now, 2.0, 2.0, flow=False))
    assert not life.learned.beside


@pytest.mark.parametrize("silence", [1.5, 4.9])
def test_a_short_reading_is_no_long_prompt(silence: float) -> None:
    """What is answered beside it may not be answered beside a long one."""
    life = grown()
    life.busy(newcomers=True)
    life.now += silence + 0.01
    life.see(CanaryPassed(life.now, 0.01, 0.01, flow=False))
    assert not life.learned.beside


def test_a_gap_far_beyond_all_others_is_learned_when_it_is_seen_again() -> None:
    """Seen once it is an outage's tail for all we know."""
    life = grown()
    longest = life.learned.gaps.longest
    life.progress(3.0)
    assert life.learned.gaps.longest == longest
    life.progress(0.5)
    life.progress(2.9)
    assert life.learned.gaps.longest == pytest.approx(3.0, rel=0.01)


def test_a_doubt_is_at_most_four_times_the_longest_gap_of_late() -> None:
    """Each is the longest of many or of few, which spreads them; and a doubt accuses nobody."""
    life = Life()
    life.passed(0.02)
    life.busy()
    for number in range(64):
        life.progress(0.5 if number % 2 else 2.0)
    assert life.rules.doubt == pytest.approx(8.0, rel=0.11)


def test_an_answer_beside_work_that_goes_on_says_nothing_of_long_prompts() -> None:
    """It was sent before the silence was one to wonder about."""
    life = grown()
    life.busy(newcomers=True)
    life.passed(0.2, after=0.3)
    assert not life.learned.beside


def test_gaps_are_learned_between_the_times_from_which_silence_counts() -> None:
    """What a page shows is dated by the reading before it: a lag of the page is in both ends."""
    life = Life()
    for _ in range(5):
        life.passed(0.02)
    life.busy()
    for _ in range(20):
        life.now += 1.0
        life.see(Progress(life.now, Witness.COUNTERS, flow_at=life.now - 1.0))
    assert life.standing.flow_at == life.now - 1.0
    assert life.learned.gaps.longest == 1.0
    assert life.learned.gaps.typical == pytest.approx(1.0)


def test_what_moved_since_work_began_was_no_gap() -> None:
    """Nobody knows how long it was silent, if it was at all."""
    life = grown()
    before = life.learned
    life.see(Load(life.now, 0, witness=Witness.COUNTERS))
    life.now += 5.0
    life.busy()
    began = life.now
    life.now += 1.0
    life.see(Progress(life.now, Witness.COUNTERS, flow_at=began))
    assert life.learned == before
