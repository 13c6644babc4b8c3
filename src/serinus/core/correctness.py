"""Does it still say what it said: an engine's greedy answers to fixed prompts, against a reference.

What is wrong in an answer, the first that applies:

| word        | what                                                              | needs        |
|-------------|-------------------------------------------------------------------|--------------|
| nan         | a log-probability that is no number, or infinite                  | nothing      |
| empty       | no token at all                                                   | a reference  |
| repetition  | it repeats itself to its end, and the reference does not          | a reference  |
| tokens      | another token, where the reference was sure of its own            | a reference  |
| logprobs    | the same tokens, but their log-probabilities are off by more than | a reference  |
|             | the tolerance, in the mean                                        |              |

An engine whose kernels depend on the size of the batch gives other numbers in company, so that at
a place where two tokens are nearly as likely the other one may come, and all that follows it is
another text (H. He et al., "Defeating Nondeterminism in LLM Inference", Thinking Machines Lab 2025;
J. Yuan et al., "Give Me FP32 or Give Me Death?", arXiv 2506.09501, who find the flips at small
gaps of the two best). That is told apart from wrong by all of these:

1. A `Lesson` is learned from several answers, given while the engine is idle. It keeps the
   beginning that all of them had in common, and by how much their log-probabilities were apart
   (the *spread*). An engine that is not reproducible even then has a short beginning, or none:
   of it only what needs no tokens is judged.
2. A divergence at a *near tie*, a place where the reference's two best were no further apart than
   the tolerance and the spread, is no fault, and nothing behind it is compared. vLLM's own tests
   compare in this manner (`check_logprobs_close`). The tie is looked up in the reference: an
   engine whose numbers are garbage would make a tie of everything.
3. Who asks says whether users' work kept the answer company. If it did, only `nan` is judged;
   where nobody can say, `tokens` and `logprobs` are only where near ties are told.
4. One answer accuses nobody. The prompts are asked again in turn, and it is wrong when two of them
   have gone wrong twice running (four times where the engine tells no near ties), or one alone six
   times. What no engine that is well does by chance (the first three) is wrong when it is seen
   twice running.
5. A divergence that is gone when the prompt is asked again was none. Where that happens twice the
   lesson ends there from then on, and a spread that large is learned (up to the tolerance).

A server may write nothing where it has no log-probabilities to tell, which looks like NaN. It is
taken for that where they were told before, where others of the answer are numbers, or where the
answer is a loop, as it is of an engine whose logits are NaN (vLLM then gives token 0 for ever).

It is right again after a whole round of right answers, three at the least. While it is wrong
nothing is learned, and a reference that was given is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeVar

from serinus.core.transcript import Token, Transcript, Unit, loop_in

__all__ = ["LESSONS", "Correctness", "Examined", "Finding", "Lesson", "Mark", "Wrong"]

_T = TypeVar("_T")

LESSONS = 5
"""Answers that a lesson is learned from."""
_TWO = 2
"""Prompts that bear each other out, if each has been wrong so often running:"""
_TIMES = 2
_TIMES_BLIND = 4
"""The same where no margins are told, so that a near tie cannot be told apart."""
_PLAIN = 2
_ALONE = 6
_SOUND = 3
"""Right answers running, at the least, that make it right again."""
_SHOWN = 5
"""Tokens of an answer in what is told of it."""


class Wrong(StrEnum):
    """What is wrong in an answer."""

    NAN = "nan"
    EMPTY = "empty"
    REPETITION = "repetition"
    TOKENS = "tokens"
    LOGPROBS = "logprobs"

    @property
    def plain(self) -> bool:
        """Whether no engine that is well does it by chance."""
        return self in {Wrong.NAN, Wrong.EMPTY, Wrong.REPETITION}


class Mark(StrEnum):
    """What an answer came to."""

    LEARNED = "learned"
    RIGHT = "right"
    WRONG = "wrong"
    UNJUDGED = "unjudged"
    """In company, or nothing of it can be compared."""


class Finding(NamedTuple):
    """What is wrong in one answer. `told` is for people."""

    wrong: Wrong
    told: str
    place: int = 0
    """The token at which it begins."""
    departure: float = 0.0
    """How far the log-probabilities are off."""


class Lesson(NamedTuple):
    """What an engine that is well says to one prompt."""

    asked: int = 0
    """Answers it was learned from; as many as `LESSONS` of a reference that was given."""
    tokens: tuple[Token, ...] = ()
    """The beginning that all of them had in common."""
    logprobs: tuple[float, ...] | None = None
    """Their means."""
    margins: tuple[float, ...] | None = None
    """The least by which each was likelier than the next best."""
    spread: float = 0.0
    """The furthest that an answer's log-probabilities were from the others', in the mean."""
    loops: bool = False
    """An engine that is well repeats itself here."""
    silent: bool = False
    """An engine that is well may say nothing here."""
    by: Unit = Unit.ID
    shaky: int | None = None
    """Where a divergence was that had gone when it was asked again."""

    @property
    def learned(self) -> bool:
        """Whether it is known well enough to judge by."""
        return self.asked >= LESSONS

    def strange(self, said: Transcript) -> bool:
        """Whether an answer is told by other units than the lesson, so that it is none for it."""
        return bool(self.tokens and said.tokens) and said.by is not self.by

    def sure(self, tolerance: float) -> int:
        """Count the tokens that are compared: those that are no near ties."""
        return sum(not self.tied(place, tolerance) for place in range(len(self.tokens)))

    def tied(self, place: int, tolerance: float) -> bool:
        """Whether another token was nearly as likely at a place."""
        return self.margins is not None and self.margins[place] <= tolerance + self.spread

    def after(self, said: Transcript) -> Lesson:
        """Learn from one more answer."""
        loops, silent = bool(loop_in(said.tokens)), not said.tokens
        if not self.asked or self.strange(said):
            return Lesson(1, said.tokens, said.logprobs, said.margins, 0.0, loops, silent, said.by)
        same = _in_common(self.tokens, said.tokens)
        known = self._shortened(same)
        departure = known.departure(said, same)
        logprobs = margins = None
        if known.logprobs is not None and said.logprobs is not None:
            pairs = zip(known.logprobs, said.logprobs, strict=False)
            logprobs = tuple(mean + (new - mean) / (self.asked + 1) for mean, new in pairs)
        if known.margins is not None and said.margins is not None:
            margins = tuple(map(min, known.margins, said.margins))
        return known._replace(
            asked=self.asked + 1,
            logprobs=logprobs,
            margins=margins,
            spread=max(self.spread, departure or 0.0),
            loops=self.loops or loops,
            silent=self.silent or silent,
        )

    def departure(self, said: Transcript, places: int) -> float | None:
        """Return how far its log-probabilities are off, in the mean over so many places."""
        if self.logprobs is None or said.logprobs is None or not places:
            return None
        pairs = zip(self.logprobs[:places], said.logprobs[:places], strict=True)
        return sum(abs(new - old) for old, new in pairs) / places

    def forgiving(self, finding: Finding, tolerance: float) -> Lesson:
        """Take in that a divergence had gone when it was asked again."""
        if finding.wrong is Wrong.LOGPROBS:
            return self._replace(spread=max(self.spread, min(finding.departure, tolerance)))
        if finding.wrong is not Wrong.TOKENS:
            return self
        if self.shaky is None:
            return self._replace(shaky=finding.place)
        return self._shortened(max(self.shaky, finding.place))._replace(
            shaky=min(self.shaky, finding.place)
        )

    def _shortened(self, places: int) -> Lesson:
        return self._replace(
            tokens=self.tokens[:places],
            logprobs=None if self.logprobs is None else self.logprobs[:places],
            margins=None if self.margins is None else self.margins[:places],
        )


class Correctness(NamedTuple):
    """All that is remembered of one engine's answers; one lesson a prompt."""

    lessons: tuple[Lesson, ...]
    given: bool = False
    """The lessons are a reference that was given: nothing is learned."""
    struck: tuple[Finding | None, ...] = ()
    """What was wrong in the last answer to each prompt."""
    strikes: tuple[int, ...] = ()
    """Wrong answers running, of each prompt."""
    plain: int = 0
    """Answers running, of all, that were wrong by themselves."""
    wrong: Finding | None = None
    """What is wrong with the engine; None while it is not known to be wrong."""
    rights: int = 0
    """Right answers running, of all."""
    turn: int = 0
    """The prompt that is asked next."""

    @classmethod
    def of(cls, lessons: Sequence[Lesson], *, given: bool = False) -> Correctness:
        """Begin with what is known of each prompt."""
        size = len(lessons)
        return cls(tuple(lessons), given, (None,) * size, (0,) * size)

    @property
    def learned(self) -> bool:
        """Whether every prompt can be judged."""
        return all(lesson.learned for lesson in self.lessons)

    @property
    def suspected(self) -> bool:
        """Whether an answer was wrong that has not been confirmed, or taken back."""
        return self.wrong is None and any(self.strikes)

    def sure(self, tolerance: float) -> int:
        """Count the tokens, of all prompts, that are compared."""
        return sum(lesson.sure(tolerance) for lesson in self.lessons)

    def passed_over(self) -> Correctness:
        """Turn to the next prompt: this one brought no answer."""
        return self._replace(turn=(self.turn + 1) % len(self.lessons))

    def after(
        self, said: Transcript, *, alone: bool | None, tolerance: float
    ) -> tuple[Correctness, Mark]:
        """Take the answer to the prompt whose turn it was.

        `alone`: no work of users kept it company; None where nobody can say. `tolerance`: in nats.
        """
        at, lesson = self.turn, self.lessons[self.turn]
        turned = self.passed_over()
        if lesson.logprobs is None and said.numberless and not loop_in(said.tokens):
            said = said._replace(logprobs=None, margins=None)
        finding = self._finding(lesson, said, tolerance, alone=alone)
        if finding is not None:
            return turned._strike(at, finding), Mark.WRONG
        if alone is False:
            return turned, Mark.UNJUDGED
        if not lesson.learned or lesson.strange(said):
            return turned._taught(at, said)
        if lesson.tokens and said.tokens and not _in_common(lesson.tokens, said.tokens):
            return turned, Mark.UNJUDGED
        return turned._cleared(at, tolerance)._right(), Mark.RIGHT

    def _taught(self, at: int, said: Transcript) -> tuple[Correctness, Mark]:
        """Learn from an answer that nothing is known against, unless that is not the time."""
        if self.given:
            return self, Mark.UNJUDGED
        if self.wrong is not None:
            return self._right(), Mark.UNJUDGED
        taught = self._with(at, self.lessons[at].after(said))
        return taught._replace(plain=0), Mark.LEARNED

    @staticmethod
    def _finding(
        lesson: Lesson, said: Transcript, tolerance: float, *, alone: bool | None
    ) -> Finding | None:
        """Say what is wrong in an answer, by the first line of the table that applies."""
        unsound = said.unsound
        if unsound is not None and said.logprobs is not None:
            logprob = said.logprobs[unsound]
            told = f"the log-probability of token {unsound + 1} is {logprob:g}"
            return Finding(Wrong.NAN, told, unsound)
        if alone is False or not lesson.learned:
            return None
        if not said.tokens:
            return None if lesson.silent else Finding(Wrong.EMPTY, "no token at all")
        block = loop_in(said.tokens)
        if block and not lesson.loops:
            told = f"it repeats {_shown(block)} to its end"
            return Finding(Wrong.REPETITION, told, len(said.tokens) - len(block))
        if lesson.strange(said) or (alone is None and lesson.margins is None):
            return None
        return _drift(lesson, said, tolerance)

    def _strike(self, at: int, finding: Finding) -> Correctness:
        strikes = _put(self.strikes, at, self.strikes[at] + 1)
        plain = self.plain + 1 if finding.wrong.plain else 0
        borne_out = sum(map(_confirmed, strikes, self.lessons)) >= _TWO
        proven = borne_out or max(strikes) >= _ALONE or plain >= _PLAIN
        wrong = finding if proven or self.wrong is not None else None
        return self._replace(
            strikes=strikes,
            struck=_put(self.struck, at, finding),
            plain=plain,
            wrong=wrong,
            rights=0,
        )

    def _cleared(self, at: int, tolerance: float) -> Correctness:
        """Take back what was held against a prompt whose answer is not wrong."""
        finding = self.struck[at]
        taken = self._replace(
            strikes=_put(self.strikes, at, 0), struck=_put(self.struck, at, None), plain=0
        )
        if finding is None or self.given or self.wrong is not None:
            return taken
        return taken._with(at, self.lessons[at].forgiving(finding, tolerance))

    def _right(self) -> Correctness:
        rights = self.rights + 1
        if self.wrong is not None and rights >= max(_SOUND, len(self.lessons)):
            return Correctness.of(self.lessons, given=self.given)._replace(turn=self.turn)
        return self._replace(rights=rights)

    def _with(self, at: int, lesson: Lesson) -> Correctness:
        return self._replace(lessons=_put(self.lessons, at, lesson))


class Examined(NamedTuple):
    """What is known of an endpoint's answers at one moment, for the report. Times are monotonic."""

    policy: str
    correctness: Correctness
    tolerance: float
    """In nats."""
    answers: Mapping[Mark, int]
    """How many came to what."""
    tokens: int = 0
    """Tokens that they cost."""
    since: float | None = None
    """Since when it is wrong; None while it is not."""
    heard_at: float | None = None
    """When the last answer was judged; None before the first."""
    trouble: str = ""
    """Why it cannot be examined; empty while it can."""

    @property
    def state(self) -> str:
        """It in a word."""
        known = self.correctness
        if known.wrong is not None:
            return "wrong"
        if self.trouble:
            return "unknown"
        if known.suspected:
            return "suspected"
        return "right" if known.learned else "learning"

    @property
    def told(self) -> str:
        """What is wrong, or what stands in the way."""
        wrong = self.correctness.wrong
        return self.trouble if wrong is None else f"{wrong.wrong}: {wrong.told}"


def _drift(lesson: Lesson, said: Transcript, tolerance: float) -> Finding | None:
    """Say how an answer differs from a lesson, if by more than chance may do."""
    same = _in_common(lesson.tokens, said.tokens)
    differs = same < len(lesson.tokens)
    if differs and not lesson.tied(same, tolerance):
        told = (
            f"token {same + 1} is {_shown(said.tokens[same:])}, not {_shown(lesson.tokens[same:])}"
        )
        return Finding(Wrong.TOKENS, told, same)
    departure = lesson.departure(said, same)
    if departure is not None and departure > tolerance + lesson.spread:
        told = f"its log-probabilities are off by {departure:.2g} in the mean over {same} token(s)"
        return Finding(Wrong.LOGPROBS, told, departure=departure)
    return None


def _confirmed(strikes: int, lesson: Lesson) -> bool:
    return strikes >= (_TIMES_BLIND if lesson.margins is None else _TIMES)


def _in_common(one: Sequence[Token], other: Sequence[Token]) -> int:
    """Count the tokens with which both begin."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _shown(tokens: Sequence[Token]) -> str:
    if not tokens:
        return "the end"
    shown = " ".join(repr(token) for token in tokens[:_SHOWN])
    return f"{shown} …" if len(tokens) > _SHOWN else shown


def _put(all_of: tuple[_T, ...], at: int, one: _T) -> tuple[_T, ...]:
    return (*all_of[:at], one, *all_of[at + 1 :])
