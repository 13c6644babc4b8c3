"""Is the engine there: its port, its list of models, and the turns of its life that follow.

It knocks (`GET` of the list of models) while an engine is loading or dead, and keeps a tripwire
while it serves. A canary is not needed for any of this.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from serinus.core.evidence import Evidence
from serinus.engines import Engine
from serinus.engines.listing import MAX_LIST_BYTES
from serinus.errors import EngineError
from serinus.sidecar.client import EngineClient, Page
from serinus.sidecar.connection import Tripwire, connected
from serinus.sidecar.contact import ContactError, Trouble
from serinus.sidecar.credentials import Credentials
from serinus.sidecar.hindrance import Hindrance
from serinus.sidecar.life import Life, Stage, Turn
from serinus.sidecar.place import Place

__all__ = ["Presence"]

_PATIENCE = 5.0
_CONNECT_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class _Listing:
    """What the list of models comes to: the model to ask, if there is one, and words for people."""

    model: str | None
    words: str


class Presence:
    """Follows the life of one engine.

    `turned` is called with the evidence of each turn. `model` is the one to ask, None as long as
    none is known; `wanted` is the one that the settings name. `alarm` is called when there is
    something to see to at once, by `feel` or by a knock: an engine that has begun to serve, or the
    end of the connection that watches for its end.
    """

    def __init__(
        self,
        place: Place,
        engine: Engine,
        client: EngineClient,
        credentials: Credentials,
        life: Life,
        *,
        wanted: str | None,
        turned: Callable[[tuple[Evidence, ...]], None],
        alarm: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.life = life
        self.model: str | None = None
        self.contact = "not tried yet"
        """How the last contact went, for people."""
        self._place = place
        self._engine = engine
        self._client = client
        self._credentials = credentials
        self._wanted = wanted
        self._turned = turned
        self._clock = clock
        self._alarm = alarm
        self._tripwire = Tripwire(place, alarm)
        self._hindrance = Hindrance(place)

    def askable(self) -> bool:
        """Whether there is a point in sending a canary, and a model to ask."""
        return self.life.askable and self.model is not None

    def close(self) -> None:
        """Let go of the connection."""
        self._tripwire.disarm()

    async def knock(self) -> None:
        """Ask for the list of models, and turn the life by what comes."""
        try:
            page = await self._client.get(
                self._engine.models_path, seconds=_PATIENCE, limit=MAX_LIST_BYTES
            )
        except ContactError as error:
            await self.lost(error)
            return
        if page.status in {401, 403}:
            self._credentials.renew()
        listing = self._listing(page)
        self.contact, self.model = listing.words, listing.model
        if listing.model is None and page.status < 500:  # above, it says itself that it loads
            self._hindrance.is_that(listing.words)
        else:
            self._hindrance.is_gone()
        self._turn(self.life.answered(self._clock(), model=listing.model is not None))

    async def feel(self) -> None:
        """See to it that the end of a serving engine is noticed at once, or is noticed now."""
        if self.life.stage is not Stage.SERVING or self._tripwire.armed:
            return
        try:
            if self._place.secure or self._tripwire.rests():
                (await connected(self._place, seconds=_CONNECT_PATIENCE)).close()
            else:
                await self._tripwire.arm(seconds=_CONNECT_PATIENCE)
        except ContactError as error:
            await self.lost(error)

    async def lost(self, error: ContactError) -> None:
        """Take in that there was no whole answer; of a closed port, make sure at once."""
        self.contact = error.detail
        if error.trouble is Trouble.OURS:
            return
        if self.life.stage is Stage.LOADING:
            await self._lost_while_loading(error)
        elif error.trouble is Trouble.REFUSED or (
            error.trouble is Trouble.DROPPED and await self._refused()
        ):
            if await self._refused():
                detail = f"{self._place} refuses connections"
                self._turn(self.life.closed_twice(self._clock(), detail))
        else:
            self._turn(self.life.unreachable(self._clock()))

    def proven(self) -> None:
        """Take in that the engine brought a token."""
        before, self.life = self.life, self.life.proven(self._clock())
        if self.life is not before:
            self._alarm()  # so that its end is watched for from now on

    def said_dead(self, detail: str) -> None:
        """Take in the engine's own word that it is dead."""
        self._turn(self.life.said_dead(self._clock(), detail))

    async def _lost_while_loading(self, error: ContactError) -> None:
        self._hindrance.is_trouble(error)
        answers = error.trouble in {Trouble.UNTRUSTED, Trouble.NO_HTTP, Trouble.TOO_LARGE}
        if error.trouble in {Trouble.SILENT, Trouble.DROPPED}:
            answers = await self._connects()
        at = self._clock()
        life = self.life
        self._turn(life.answered(at, model=False) if answers else life.unreachable(at))

    async def _connects(self) -> bool:
        try:
            (await connected(self._place, seconds=_CONNECT_PATIENCE)).close()
        except ContactError:
            return False
        return True

    async def _refused(self) -> bool:
        try:
            (await connected(self._place, seconds=_CONNECT_PATIENCE)).close()
        except ContactError as error:
            return error.trouble is Trouble.REFUSED
        return False

    def _listing(self, page: Page) -> _Listing:
        path, wanted = self._engine.models_path, self._wanted
        if page.status != 200:
            words = f"GET {path}: HTTP {page.status}"
            hint = "" if wanted else "; name the model by --model if this server has no list"
            # 503 is how some say that they are loading; 4xx is a server without a list, and 500
            # one whose list is broken (transformers serve without a cache of models).
            return _Listing(wanted if page.status <= 500 else None, words + hint)
        try:
            models = self._engine.read_models(page.body)
        except EngineError as error:
            return _Listing(wanted, f"GET {path}: {error}")
        if not models:
            return _Listing(None, f"GET {path}: no model listed")
        if wanted and wanted not in models:
            return _Listing(wanted, f"the model {wanted!r} is not among the {len(models)} listed")
        return _Listing(wanted or models[0], f"{len(models)} model(s) listed")

    def _turn(self, turn: Turn) -> None:
        self.life, evidence = turn
        if self.life.stage is not Stage.SERVING:
            self._tripwire.disarm()
        if evidence:
            self._turned(evidence)
