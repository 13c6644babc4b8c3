"""The life of an engine: loading, serving, dead, and the evidence that each turn brings.

| was      | sees                                   | turns   | evidence            |
|----------|----------------------------------------|---------|---------------------|
| loading  | another phase                          | loading | Loading             |
| loading  | a token of ours, or progress of users  | serving | (the proof itself)  |
| serving  | its port closed, and closed once more  | dead    | EngineDied          |
| serving  | the engine's own word that it is dead  | dead    | EngineDied          |
| dead     | its port open again after it was shut  | loading | Registered, Loading |
| dead     | a token of ours, its port never shut   | serving | (the proof itself)  |
| dead     | the notice is over                     | loading | Registered, Loading |

Why death is held for a bounded *notice*: a dead engine makes `/live` 503, so that whoever restarts
engines does it. But an engine that is being started again has the same closed port as one that
stays dead, and a model can take minutes to load: if `/live` stayed 503 until the port opened, the
next restart would come before that, over and over. So after the notice, long enough for any usual
liveness probe to have failed, a new life begins: live, not ready, `port_closed`. If nobody
restarted the engine, it is still not ready, and readiness says why.

Why a closed port must be seen twice: one refused connection can be a full backlog or a listener
that is being replaced. An engine that never brought a token cannot die here: it is loading.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from serinus.core.evidence import EngineDied, Evidence, Loading, Phase, Registered

__all__ = ["Life", "Stage", "Turn"]


class Stage(StrEnum):
    """Where an engine is in its life."""

    LOADING = "loading"
    SERVING = "serving"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Life:
    """One engine's. `since`: when its stage began; `notice`: how long a death is announced."""

    notice: float
    since: float
    stage: Stage = Stage.LOADING
    phase: Phase | None = None
    """How far it has loaded; None before the first look, and when it is not loading."""
    closed: bool = False
    """Of a dead engine: its port was seen closed."""
    canary: bool = True
    """Whether canaries are sent; without them nothing is judged."""

    @property
    def askable(self) -> bool:
        """Whether there is a point in sending a canary."""
        return self.stage is not Stage.LOADING or self.phase is Phase.FIRST_TOKEN

    def unreachable(self, at: float) -> Turn:
        """See that no connection can be had, for whatever reason."""
        if self.stage is Stage.LOADING:
            return self._in(Phase.PORT_CLOSED, at)
        return self._pass(at, closed=self.closed, phase=Phase.PORT_CLOSED)

    def closed_twice(self, at: float, detail: str) -> Turn:
        """See that the port is closed, and at once that it still is."""
        if self.stage is Stage.SERVING:
            return self._die(at, detail, closed=True)
        if self.stage is Stage.DEAD:
            return self._pass(at, closed=True, phase=Phase.PORT_CLOSED)
        return self._in(Phase.PORT_CLOSED, at)

    def answered(self, at: float, *, model: bool) -> Turn:
        """See that something answers on the port: `model` says whether there is one to ask."""
        phase = Phase.FIRST_TOKEN if model else Phase.NO_MODEL
        if self.stage is Stage.LOADING:
            return self._in(phase, at)
        if self.stage is Stage.DEAD and self.closed:
            return self._begin_again(at, phase)
        return self._pass(at, closed=self.closed, phase=phase)

    def proven(self, at: float) -> Life:
        """See a token."""
        if self.stage is Stage.SERVING:
            return self
        return replace(self, since=at, stage=Stage.SERVING, phase=None, closed=False)

    def said_dead(self, at: float, detail: str) -> Turn:
        """Hear the engine's own word that it is dead; its port may answer for a while."""
        if self.stage is Stage.SERVING:
            return self._die(at, detail, closed=False)
        return self, ()

    def _in(self, phase: Phase, at: float) -> Turn:
        if phase is self.phase:
            return self, ()
        return replace(self, phase=phase), (Loading(at, phase),)

    def _die(self, at: float, detail: str, *, closed: bool) -> Turn:
        dead = replace(self, since=at, stage=Stage.DEAD, closed=closed)
        return dead, (EngineDied(at, detail),)

    def _pass(self, at: float, *, closed: bool, phase: Phase) -> Turn:
        """Let time pass: a death is announced for as long as the notice."""
        if self.stage is Stage.DEAD and at - self.since >= self.notice:
            return self._begin_again(at, phase)
        return replace(self, closed=closed), ()

    def _begin_again(self, at: float, phase: Phase) -> Turn:
        born = replace(self, since=at, stage=Stage.LOADING, phase=phase, closed=False)
        return born, (Registered(at, canary=self.canary), Loading(at, phase))


Turn: TypeAlias = tuple[Life, tuple[Evidence, ...]]
"""The life after something was seen, and what the judge is to hear of it."""
