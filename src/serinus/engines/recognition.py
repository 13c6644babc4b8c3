"""Which kind of engine a server is, by what it shows: what to fetch next, and what it comes to.

A few cheap GETs in two rounds, the second only where the first has no proof. None of them has an
engine generate, so `/health` is not among them (SGLang's generates). What weighs most decides; a
server that shows nothing but OpenAI's list of models is `openai`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serinus.engines import ENGINES
from serinus.engines.protocol import Engine
from serinus.engines.signs import Sighting, Weight

__all__ = ["Finding", "next_paths", "recognised"]

_FIRST = ("/v1/models", "/", "/version", "/api/version", "/v2")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was recognised, and by what. `engine` is None where nothing was."""

    engine: Engine | None
    clues: tuple[str, ...] = ()
    """What spoke for it, in words."""
    sightings: tuple[Sighting, ...] = ()

    @property
    def name(self) -> str | None:
        """The name of the engine."""
        return None if self.engine is None else self.engine.name

    def __str__(self) -> str:
        if self.engine is not None:
            return f"{self.engine.name}: {', '.join(self.clues)}"
        seen = "; ".join(map(str, self.sightings)) or "nothing was tried"
        names = ", ".join(engine.name for engine in ENGINES)
        return f"no engine that is known ({names}); tried {seen}"


def next_paths(sightings: Sequence[Sighting]) -> tuple[str, ...]:
    """Return what to fetch next, after what has been seen; empty when there is enough.

    >>> next_paths([])
    ('/v1/models', '/', '/version', '/api/version', '/v2')
    """
    tried = {sighting.path for sighting in sightings}
    if not tried:
        return _FIRST
    if any(_weight(engine, sightings) >= Weight.PROOF for engine in ENGINES):
        return ()
    paths = dict.fromkeys(sign.path for engine in ENGINES for sign in engine.signs)
    return tuple(path for path in paths if path not in tried)


def recognised(sightings: Sequence[Sighting]) -> Finding:
    """Return what the sightings come to.

    >>> page = Sighting("/v1/models", 200, {}, b'{"data": [{"id": "m", "owned_by": "vllm"}]}')
    >>> print(recognised([page]))
    vllm: /v1/models says owned_by 'vllm'
    >>> print(recognised([Sighting("/v1/models", 200, {}, b'{"data": [{"id": "m"}]}')]))
    openai: /v1/models lists 1 model(s), and nothing names another engine
    """
    seen = tuple(sightings)
    # Of those that show the same, the first: any other server of OpenAI's API is the last.
    engine = max(ENGINES, key=lambda one: _weight(one, seen))
    if not _weight(engine, seen):
        return Finding(None, (), seen)
    clues = tuple(words for _, words in _shown(engine, seen))
    if _weight(engine, seen) <= Weight.ANY:
        clues = (f"{clues[0]}, and nothing names another engine",)
    return Finding(engine, clues, seen)


def _weight(engine: Engine, sightings: Sequence[Sighting]) -> int:
    return sum(weight for weight, _ in _shown(engine, sightings))


def _shown(engine: Engine, sightings: Sequence[Sighting]) -> list[tuple[Weight, str]]:
    """Return what a server shows of an engine, by the order of its signs."""
    return [
        (sign.weight, words)
        for sign in engine.signs
        for sighting in sightings
        if sighting.path == sign.path and (words := sign.look(sighting))
    ]
