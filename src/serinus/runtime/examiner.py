"""Asks an endpoint's fixed prompts in turn, and says when its answers are wrong.

It keeps the state of `core.correctness` and the pace; how a question is put is the business of who
made it. It asks nothing by itself: the manager sends an exam when one is wanted and nothing speaks
against it (`core.pacing.next_exam`), at most one question in flight.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from serinus.core.correctness import Correctness, Examined, Finding, Lesson, Mark
from serinus.core.pacing import Exam
from serinus.core.rules import Rules
from serinus.core.transcript import Transcript
from serinus.runtime.reference import PROMPTS, Reference, Sheet, read_prompts
from serinus.runtime.target import Answer
from serinus.settings import Settings

__all__ = ["Examination", "Examiner"]

logger = logging.getLogger("serinus")

_PER_TOKEN = 0.25
"""Seconds that a token of an exam may take; one that takes longer is given up, and accuses nobody:
slow is judged elsewhere."""
_FIRST_USE = 60.0
"""Seconds more that the first exam in an engine's life has: what tells log-probabilities may be
compiled only then, and nothing else runs meanwhile (vLLM 0.32 on CPU: up to 20 s)."""


class Examination(NamedTuple):
    """What the settings ask for."""

    policy: str
    interval: float
    tokens: int
    tolerance: float
    prompts: tuple[str, ...] = PROMPTS
    reference: Reference | None = None

    @classmethod
    def of(cls, settings: Settings) -> Examination:
        """Return it. Raises SettingsError for a file that cannot be used."""
        prompts, reference = settings.correctness_prompts, settings.correctness_reference
        return cls(
            settings.correctness_policy,
            settings.correctness_interval,
            settings.correctness_tokens,
            settings.correctness_tolerance,
            PROMPTS if prompts is None else read_prompts(prompts),
            None if reference is None else Reference.read(reference),
        )


class Examiner:
    """Examines one endpoint. `examine` puts the question whose `turn` it is.

    `turned` is told when its answers turn wrong, when what is wrong changes, and with None when
    they are right again.
    """

    __slots__ = (
        "_asked_at",
        "_clock",
        "_not_before",
        "_own",
        "_turned",
        "answers",
        "correctness",
        "examination",
        "examine",
        "heard_at",
        "prompts",
        "since",
        "size",
        "spent",
        "trouble",
        "warm",
    )

    def __init__(
        self,
        examination: Examination,
        prompts: Sequence[str] | None,
        *,
        examine: Callable[[], Awaitable[Answer]],
        turned: Callable[[Finding | None], None],
        clock: Callable[[], float],
    ) -> None:
        self.examination = examination
        self._own = prompts is not None
        """Whether the prompts are the endpoint's own, which no reference replaces."""
        self.prompts = examination.prompts if prompts is None else tuple(prompts)
        self.size = examination.tokens
        """The tokens of an answer."""
        self.examine = examine
        self.correctness = Correctness.of([Lesson()] * len(self.prompts))
        self.answers: dict[Mark, int] = dict.fromkeys(Mark, 0)
        self.spent = 0
        """Tokens."""
        self.since: float | None = None
        self.heard_at: float | None = None
        self.trouble = ""
        self.warm = False
        """Whether an exam was answered since the engine began its life."""
        self._turned = turned
        self._clock = clock
        self._asked_at = clock()
        self._not_before = float("-inf")

    @property
    def prompt(self) -> str:
        """The prompt whose turn it is."""
        return self.prompts[self.correctness.turn]

    @property
    def first(self) -> float:
        """The seconds that the first token has beyond a canary's deadline."""
        return 0.0 if self.warm else _FIRST_USE

    @property
    def rest(self) -> float:
        """The seconds that an answer has from its first token on."""
        return self.size * _PER_TOKEN

    @property
    def patience(self) -> float:
        """The seconds that an exam has beyond a canary's deadline."""
        return self.first + self.rest

    def wanted(self, rules: Rules) -> Exam:
        """Say when the next exam is wanted: at once where something is to be learned or confirmed.

        While it is wrong it is asked as often as any canary, to hear when it is right again.
        """
        known, wait = self.correctness, self.examination.interval
        if not self.trouble:
            if known.wrong is not None:
                wait = min(wait, rules.wait)
            elif known.suspected or not (known.learned or known.given):
                wait = min(wait, rules.retry)
        since = self._not_before - wait * (1 - rules.jitter)  # jitter brings none before its time
        return Exam(max(self._asked_at, since), wait, self.size)

    def begin(self, engine: str, sheet: Sheet | None) -> None:
        """Begin with an engine, and with what is known of its answers from an earlier time."""
        examination, given = self.examination, None
        if examination.reference is not None:
            given = examination.reference.sheets.get(engine)
            if given is None:
                known = ", ".join(examination.reference.sheets) or "none"
                logger.warning(
                    "the reference has no answers of %r (it has those of: %s): the first ones are"
                    " taken for right",
                    engine,
                    known,
                )
        if given is not None and self._own:
            lessons = [given.lessons.get(prompt, Lesson()) for prompt in self.prompts]
            self.correctness = Correctness.of(lessons, given=True)
        elif given is not None:
            self.prompts, self.size = tuple(given.lessons), given.tokens
            self.correctness = Correctness.of(tuple(given.lessons.values()), given=True)
        else:
            same = sheet is not None and sheet.tokens == self.size
            known_of = sheet.lessons if same and sheet is not None else {}
            lessons = [known_of.get(prompt, Lesson()) for prompt in self.prompts]
            self.correctness = Correctness.of(lessons)
        self._asked_at, self.trouble = self._clock(), ""
        if self.since is not None:
            self._tell(None)

    def heard(self, said: Transcript, *, alone: bool | None) -> None:
        """Judge an answer; see `Correctness.after`."""
        before, self._asked_at, self.warm = self.correctness, self._clock(), True
        self.heard_at, self.trouble = self._asked_at, ""
        self.spent += len(said.tokens)
        tolerance = self.examination.tolerance
        self.correctness, mark = before.after(said, alone=alone, tolerance=tolerance)
        self.answers[mark] += 1
        finding = self.correctness.wrong
        if finding is not None or before.wrong is not None:
            self._tell(finding)
        if self.correctness.learned and not before.learned:
            self._learned()

    def missed(self, *, tokens: int = 0) -> None:
        """Take in that there was no whole answer, which says nothing of the others."""
        self._asked_at, self.warm = self._clock(), True
        self.spent += tokens
        self.answers[Mark.UNJUDGED] += 1
        self.correctness = self.correctness.passed_over()

    def restarted(self) -> None:
        """Take in that the engine began another life."""
        self.warm = False

    def put_off(self, seconds: float) -> None:
        """Take in that none is to be asked for so long: users come first, or an ordinary canary."""
        self._not_before = self._clock() + seconds

    def refused(self, why: str) -> None:
        """Take in that the endpoint cannot be asked so: it is tried again after the interval."""
        self._asked_at = self._clock()
        self.correctness = self.correctness.passed_over()  # one that is refused blocks no other
        if not self.trouble:
            logger.warning("its answers cannot be examined: %s", why)
        self.trouble = why

    def sheet(self) -> Sheet | None:
        """Return what is worth keeping; None where nothing was learned."""
        known = self.correctness
        if known.given or not any(lesson.asked for lesson in known.lessons):
            return None
        return Sheet(self.size, dict(zip(self.prompts, known.lessons, strict=True)))

    def examined(self) -> Examined:
        """Return what is known, for the report."""
        answers: Mapping[Mark, int] = dict(self.answers)
        return Examined(
            self.examination.policy,
            self.correctness,
            self.examination.tolerance,
            answers,
            self.spent,
            self.since,
            self.heard_at,
            self.trouble,
        )

    def _learned(self) -> None:
        sure = self.correctness.sure(self.examination.tolerance)
        tokens = sum(len(lesson.tokens) for lesson in self.correctness.lessons)
        if not sure:
            logger.warning(
                "answers to %d prompt(s) are learned, and tell nothing: none of the %d token(s) is"
                " both reproducible and no near tie; only nan and repetition can be seen",
                len(self.prompts),
                tokens,
            )
        else:
            logger.info(
                "answers to %d prompt(s) are learned: %d token(s), %d of which are compared",
                len(self.prompts),
                tokens,
                sure,
            )

    def _tell(self, finding: Finding | None) -> None:
        if finding is None:
            self.since = None
        elif self.since is None:
            self.since = self._clock()
        self._turned(finding)
