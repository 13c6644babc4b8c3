"""What has to be known of a kind of engine before anybody may judge it: its traits, as values.

They are facts of the engine's releases, read in its source or seen on a running one; each engine's
module says which.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from serinus.engines.counters import CounterNames

__all__ = ["Abort", "Lie", "Pace", "Traits"]


@dataclass(frozen=True, slots=True)
class Lie:
    """A sample that says what is not so. `how` completes "`sample` …", as in "stays at 0 while"."""

    sample: str
    how: str

    def __str__(self) -> str:
        return f"{self.sample} {self.how}"


@dataclass(frozen=True, slots=True)
class Abort:
    """How an engine is told to give a request up."""

    by_closing: bool = True
    """Closing the connection of a streamed answer is enough."""
    within: float = 0.0
    """Seconds, at the most, that the engine works on after that; 0 where it knows at its next
    step."""
    route: str | None = None
    """A route that aborts a request by its id, where there is one."""

    def __str__(self) -> str:
        said = "closing the connection" if self.by_closing else "not by closing the connection"
        if self.by_closing and self.within:
            said += f" (heard within {self.within:g} s)"
        return f"{said}; POST {self.route}" if self.route else said


class Pace(StrEnum):
    """By what the time from token to token under users' work is known from its page.

    Prompts that are read meanwhile make it longer and are no slowness, so it is known only where
    they show. Its own sum of times is better than tokens by the clock: each time is whole, by the
    clock of whoever gives the tokens, whatever begins or ends, or comes late to us, in between.
    """

    UNKNOWN = "not known"
    OWN = "its own times; prompts are counted as they are read"
    OWN_BY_STEP = "its own times; a request that has none in a step is reading its prompt"
    OWN_APART = "its own times of decode steps, in which no prompt is read"
    STEPS = "steps by the clock, as each has a token of every request; prompts are counted"


@dataclass(frozen=True, slots=True)
class Traits:
    """The traits of one kind of engine. Texts are for people, one line each."""

    release: str
    """The release, or releases, that its names are of, and how they are known."""
    counted: str
    """By what one token of an answer is counted."""
    work: str
    """What its numbers mean by work in flight."""
    names: CounterNames = field(default_factory=CounterNames)
    """Its samples by what they mean: `tokens` and `steps` move in the middle of a request,
    `finished` at the end of one. Without the first two, silence in the middle means nothing."""
    at_end: tuple[str, ...] = ()
    """Samples that look like progress and move only when a request ends. They are not read: a
    long request would look like a standstill."""
    pace: Pace = Pace.UNKNOWN
    """By what the time from token to token is known."""
    lies: tuple[Lie, ...] = ()
    health_seconds: float = 0.0
    """Seconds that its own health handler takes by construction, on an idle engine that is well.
    A probe's timeout, and ours, has to be longer."""
    health_generates: bool = False
    """Whether that handler has the engine generate, which looks like users' work."""
    abort: Abort = field(default_factory=Abort)
    chunked: bool = False
    """Whether it reads long prompts in pieces, and answers a canary between two of them: then
    silence is no long prompt. Where it is not known, that is found out by asking."""
    pieces: bool = False
    """Whether its `tokens` move with each piece of a prompt that it reads, though nobody may be
    answered meanwhile: where they are on the page, silence is no long prompt either. An exam moves
    them by its prompt as well."""
    proves: bool = True
    """Whether a canary brings a token. Where nothing can be asked, the engine's own word is taken
    for an answer, and proves no more than it says."""

    @property
    def steady(self) -> bool:
        """Whether its page shows a standstill in the middle of a request."""
        return bool(self.names.tokens or self.names.steps)
