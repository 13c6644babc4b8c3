"""Who sees what, and when: writes docs/verdicts.md.

    python scripts/verdicts.py [--check] docs/verdicts.md

Three judges over simulated faults (`serinus simulate`), and over the recordings of faults of real
engines that come with Serinus (`serinus replay --shipped`). Nothing here is random or measured in
real time: the same code gives the same page.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from math import inf, isinf
from pathlib import Path
from random import Random

from serinus.core.evidence import CanaryPassed, Progress
from serinus.core.rules import Rules
from serinus.core.status import Reason
from serinus.replay.comparing import replays
from serinus.replay.outcome import Outcome, Timeline, Turn, scored
from serinus.replay.player import Case, case_of, own_word
from serinus.replay.shipped import shipped, shipped_file
from serinus.runtime.board import limits_of
from serinus.settings import Settings
from serinus.simulation.engine import SimulatedEngine
from serinus.simulation.faults import ABOUT, HARMLESS, STOPS, Fault
from serinus.simulation.judging import JUDGES, judge_world
from serinus.simulation.reference import judged_by_reference
from serinus.simulation.schedule import REGIMES
from serinus.simulation.score import Score, percentile, weighted_median
from serinus.simulation.world import Plan, asleep_in, schedules
from serinus.traces.reader import read

WORLDS, ENGINES, HOURS = 12, 16, 1.0
WAIT, TIMEOUT = 10.0, 3.0
PACED = "paced"
PACES = (8.5, 9.0, 9.5, 10.0)
"""Waits of the reference, in seconds, of which the one is taken with which it sends as many."""
PHASES = 8
EXAMINED_WORLDS, EXAM_INTERVAL = 6, 60.0

HEAD = """\
# Who sees what

*Made by `make verdicts`; a test checks that it is up to date.*

Three judges, each at its defaults: the engine's own `/health` asked every 10 s, three failures in a
row; the reference's rules (NVIDIA Dynamo 1.6.1 as measured, a canary after 10 s, 3 s for its first
item); and Serinus. [Simulation](simulation.md) says how the judges and the faults are modelled,
[traces](traces.md) what a replay can know. Delays count from the beginning of the fault to the
first moment of not ready.
"""


def main() -> int:
    """Write the page, or say how it differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("document", type=Path)
    asked = parser.parse_args()
    text = page()
    if not asked.check:
        asked.document.write_text(text)
        return 0
    old = asked.document.read_text() if asked.document.exists() else ""
    sys.stderr.writelines(difflib.unified_diff(_lines(old), _lines(text)))
    return int(old != text)


def page() -> str:
    """The whole document."""
    scores = simulated()
    return "\n".join([HEAD, *simulated_tables(scores), *examined(), *recorded_table()])


# --- simulated ------------------------------------------------------------------------------------


def simulated() -> dict[str, Score]:
    """All judges over the same worlds."""
    scores = {name: Score(name) for name in JUDGES}
    for seed in range(WORLDS):
        judge_world(Plan(seed, seconds=3600 * HOURS, engines=ENGINES), {}, scores)
    rate = scores["serinus"].canaries
    scores[PACED] = min(map(paced, PACES), key=lambda score: abs(score.canaries - rate))
    return scores


def paced(wait: float) -> Score:
    """The reference's rules with another wait."""
    score = Score(f"{wait:g}")
    for seed in range(WORLDS):
        drawn = schedules(Plan(seed, seconds=3600 * HOURS, engines=ENGINES))
        for schedule in drawn:
            said = judged_by_reference(
                schedule, wait=wait, timeout=TIMEOUT, asleep=asleep_in(drawn)
            )
            score.add(schedule, said)
    return score


def soonest(scores: dict[str, Score]) -> float:
    """The median delay of a judge that cannot be, over the faults that strike an unused engine.

    It sends a canary every wait, into which a fault falls at any moment, and knows the fault by the
    first canary or the first user's request that meets it, at once and without a mistake.
    """
    random = Random("soonest")
    delays = []
    for seed in range(WORLDS):
        for schedule in schedules(Plan(seed, seconds=3600 * HOURS, engines=ENGINES)):
            engine = SimulatedEngine(schedule, began=0.0)
            for window in schedule.windows:
                if window.fault in STOPS:
                    engine.advance(window.start - 1e-3)
                    if not engine.active:
                        user = engine.next_arrival() - window.start
                        delays.append(min(user, random.uniform(0, WAIT)))
    assert len(delays) == sum(not count for count, _ in scores["serinus"].struck)
    return percentile(delays, 0.5)


def simulated_tables(scores: dict[str, Score]) -> list[str]:
    """Detection of faults, false alarms by what went on, and the sums."""
    order = [scores["health"], scores["reference"], scores["serinus"]]
    hours = order[0].hours
    heads = ("own `/health`", "reference", "Serinus")
    lines = [
        "## Simulated faults",
        "",
        f"{hours:,.0f} engine-hours in {WORLDS} worlds of {ENGINES} engines, each in turn for a",
        "fifth of its time unused, rarely, lightly, steadily and fully used (0, 2, 10, 30 and 70 %",
        "of its slots).",
        "Each cell: seen, of how many; median and worst delay of those that were seen.",
        "",
        *_heading("fault", *heads),
    ]
    for fault in Fault:
        if fault in STOPS or fault not in HARMLESS:
            cells = [_seen(score.delays.get(fault, [])) for score in order]
            lines.append(_row(f"{fault}: {ABOUT[fault]}", *cells))
    lines += [
        "",
        "`slow` and `garbage` count as seen when the engine is called not ready or degraded.",
        "",
        "Nobody may be accused in these; each cell: false alarms.",
        "",
        *_heading("what went on", *heads),
    ]
    for fault in Fault:
        if fault in HARMLESS:
            cells = [str(score.during.get(fault, 0)) for score in order]
            lines.append(_row(f"{fault}: {ABOUT[fault]}", *cells))
    lines.append(_row("nothing at all", *(str(score.during.get(None, 0)) for score in order)))
    pace = scores[PACED]
    order.insert(2, pace)
    paced_head = f"reference, wait {pace.judge} s"
    columns = (heads[0], heads[1], paced_head, heads[2])
    lines += ["", "All faults that stop tokens together:", "", *_heading("", *columns)]
    stopped = [score.stopped for score in order]
    lines.append(
        _row("median delay, never being infinite", *(_delay(percentile(d, 0.5)) for d in stopped))
    )
    lines.append(_row("95th percentile", *(_delay(percentile(d, 0.95)) for d in stopped)))
    lines.append(_row("never seen", *(f"{sum(map(isinf, d))} of {len(d)}" for d in stopped)))
    lines.append(_row("false alarms", *(str(score.false_alarms) for score in order)))
    lines.append(_row("flaps", *(str(score.flaps) for score in order)))
    lines.append(
        _row("restarts of engines that were well", *(str(score.restarts) for score in order))
    )
    lines.append(_row("canaries an hour", *(f"{score.canaries / hours:.0f}" for score in order)))
    return [*lines, "", *struck_table(scores, order, columns), *explained(scores)]


def struck_table(
    scores: dict[str, Score], order: Sequence[Score], heads: Sequence[str]
) -> list[str]:
    """The same delays, by whether the engine was at work when the fault struck."""
    struck = scores["serinus"].struck
    at_work = sum(count > 0 for count, _ in struck)
    lines = [
        "The same faults, by what the engine was doing as they struck (median delay):",
        "",
        *_heading("", *heads),
    ]
    for what, kept in (
        (f"users' work in flight ({at_work} of {len(struck)})", True),
        (f"nothing in flight ({len(struck) - at_work} of {len(struck)})", False),
    ):
        delays = [[d for count, d in score.struck if (count > 0) is kept] for score in order]
        lines.append(_row(what, *(_delay(percentile(one, 0.5)) for one in delays)))
    for name in REGIMES:
        found = [score.by_regime.get(name, []) for score in order]
        what = f"in a spell of `{name}` use ({len(found[0])})"
        lines.append(_row(what, *(_delay(percentile(one, 0.5)) for one in found)))
    by_use = [weighted_median(score.struck) for score in order]
    lines.append(_row("each counted by the requests that it struck", *map(_delay, by_use)))
    return [*lines, ""]


def explained(scores: dict[str, Score]) -> list[str]:
    """What the figures can be, and cannot."""
    ours, pace = scores["serinus"], scores[PACED]
    struck = ours.struck
    idle = sum(not count for count, _ in struck) / len(struck)
    ratio = percentile(pace.stopped, 0.5) / percentile(ours.stopped, 0.5)
    in_use = weighted_median(pace.struck) / weighted_median(ours.struck)
    return [
        f"At the same rate of canaries Serinus is {ratio:.1f} times sooner than the reference's",
        f"rules, and {in_use:.1f} times where each fault counts by the requests that it struck.",
        f"Where nobody is waiting ({idle:.0%} of these faults), only the next canary or the next",
        f"user can tell, for any judge. One that sends a canary every {WAIT:g} s, and whom the",
        "first of either tells all at once and without a mistake, would have a median of",
        f"{soonest(scores):.1f} s there.",
        "",
    ]


def examined() -> list[str]:
    """What is seen of garbage where answers are examined, and how many false alarms that costs."""
    score = Score("serinus")
    settings = {"correctness_policy": "degrade", "correctness_interval": EXAM_INTERVAL}
    faults = tuple(fault for fault in Fault if fault is Fault.GARBAGE or fault in HARMLESS)
    for seed in range(EXAMINED_WORLDS):
        plan = Plan(seed, seconds=3600 * HOURS, engines=ENGINES, faults=faults)
        judge_world(plan, settings, {"serinus": score})
    seen, hours = _seen(score.delays[Fault.GARBAGE]), f"{score.hours:.0f} engine-hours"
    return [
        "Garbage is seen where answers are examined ([wrong output](wrong-output.md)), in rests",
        f"between users' work. With an exam every {EXAM_INTERVAL:g} s, in {hours} of garbage among",
        f"what is harmless, Serinus sees {seen}; false alarms: {score.false_alarms}.",
        "",
    ]


# --- recorded -------------------------------------------------------------------------------------


def recorded_table() -> list[str]:
    """A row for each recording that comes with Serinus."""
    lines = [
        "## Recordings of real engines",
        "",
        f"Each was replayed {PHASES} times, with the canaries at different times in their wait.",
        "Each cell: the median and the worst delay; then the false alarms in a replay, if any.",
        "A fault that lasts no longer than a judge's budget need not be seen by it.",
        "",
        *_heading("recording", "own `/health`", "reference", "Serinus"),
    ]
    for name in shipped():
        file = shipped_file(name)
        if file is not None:
            lines.append(_recorded_row(case_of(read(file), name=name)))
    return [*lines, ""]


def _recorded_row(case: Case) -> str:
    own = own_word(case)
    reference = [reference_over(case, phase / PHASES) for phase in range(PHASES)]
    learning = limits_of(Settings())
    ours = replays(case, rules=lambda _recorded: Rules(), runs=PHASES, learning=learning)
    lasted = ", ".join(
        f"{fault.what} for {min(fault.end, case.until) - fault.begin:.0f} s"
        for fault in case.faults
    )
    what = f"{case.name}: {lasted or 'no fault'}"
    health = "not recorded" if own is None else _judged(case, [own])
    return _row(what, health, _judged(case, reference), _judged(case, ours))


def _judged(case: Case, outcomes: Sequence[Outcome]) -> str:
    scores = [scored(outcome, case.faults) for outcome in outcomes]
    delays = [
        inf if one.delay is None else one.delay for score in scores for one in score.detections
    ]
    alarms = sum(len(score.false_alarms) for score in scores) / len(scores)
    told = []
    if delays:
        told.append(f"{_delay(percentile(delays, 0.5))}; {_delay(max(delays))}")
    if alarms or not delays:
        told.append(f"{alarms:g} false alarm(s)")
    return ", ".join(told)


def reference_over(case: Case, phase: float) -> Outcome:
    """The reference's rules over a recorded engine: what it sees is what the trace was told."""
    turns: list[Turn] = []
    canaries = 0
    for engine in case.engines:
        name, at = str(engine.history.address), engine.history.registered.at
        active = sorted(one.at for one in engine.told if isinstance(one, Progress))
        events: list[tuple[float, bool]] = [(one, True) for one in active]
        due = at + WAIT * (1 - phase)
        while due < case.until:
            last = max((one for one in active if one <= due), default=-inf)
            if last + WAIT > due:
                due = last + WAIT
                continue
            canaries += 1
            answer = engine.answer(due)
            out = due + TIMEOUT
            passed = answer.at <= out and isinstance(answer.evidence(answer.at), CanaryPassed)
            events.append((min(answer.at, out), passed))
            due += WAIT
        ready = False
        for when, good in sorted(events):
            if good is not ready and when <= case.until:
                ready = good
                turns.append(
                    Turn(when, name, ready, Reason.CANARY if good else Reason.CANARY_TIMEOUT)
                )
    turns.sort()
    timeline = Timeline(tuple((turn.at, turn.ready) for turn in turns))
    return Outcome(tuple(turns), timeline, timeline, canaries, case.until, TIMEOUT)


# --- words ----------------------------------------------------------------------------------------


def _seen(delays: Sequence[float]) -> str:
    seen = [delay for delay in delays if not isinf(delay)]
    if not delays:
        return "none happened"
    if not seen:
        return f"never, of {len(delays)}"
    figures = f"{_delay(percentile(seen, 0.5))}; {_delay(max(seen))}"
    return figures if len(seen) == len(delays) else f"{len(seen)} of {len(delays)}: {figures}"


def _delay(seconds: float) -> str:
    return "never" if isinf(seconds) else f"{seconds:.1f} s"


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _heading(*cells: str) -> list[str]:
    return [_row(*cells), "|" + "---|" * len(cells)]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    raise SystemExit(main())
