"""The account of one endpoint's real traffic, kept on the path of every chunk.

A chunk costs a few attribute writes and one reading of the clock (benchmarks/chunk_cost.py). The
manager turns the account into evidence when it looks; only while an endpoint is in doubt (`alert`)
is it told at once.

Silence is the time in which a handler owed a chunk and no stream went on. It adds up over requests
that are given up one after the other; a rest between them does not count.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from serinus.core.evidence import Load, Progress, RequestFailed, RequestFault
from serinus.errors import excerpt
from serinus.runtime.answers import error_in, looks_bad, status_of
from serinus.runtime.prompts import ALLOWED, Prompt, Prompts

__all__ = ["BUCKETS", "SAMPLE", "Measures", "Traffic", "accounted", "blame", "blame_item"]

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the duration histogram, in seconds; the last bucket beyond is open."""

_AT_ONCE = 0.25
"""Seconds into a silence in which a stream may begin and still be what it is owed to."""
SAMPLE = 16
"""One chunk in this many, beginning with the first, is looked at more closely."""
_NOT_YET = float("-inf")
_NO_ERRORS: Mapping[RequestFault, int] = MappingProxyType({})


class Measures(Protocol):
    """Who is told of requests that brought output."""

    def request(self, first: float, gap: float | None, in_flight: int, /) -> None:
        """Take in one: seconds to its first item, mean seconds between items (None of one alone).

        `in_flight`: how many requests there were when it began.
        """


class Traffic:
    """What an endpoint's users saw. Times are of `clock`, in seconds."""

    __slots__ = (
        "_alert",
        "awaiting",
        "cancelled",
        "chunks",
        "clock",
        "duration_sum",
        "durations",
        "errors",
        "expecting",
        "finished",
        "first_at",
        "flow_at",
        "idle_since",
        "in_flight",
        "known",
        "measured",
        "prompts",
        "started",
        "telling",
        "told_at",
        "unsettled_at",
        "waiting_since",
        "widest",
        "witness",
    )

    def __init__(
        self,
        clock: Callable[[], float],
        witness: Callable[[Progress | Load | RequestFailed], None],
    ) -> None:
        self.clock = clock
        self.witness = witness
        self._alert = True
        self.known = False
        """Whether it is known that there is work: that it begins is told at once."""
        self.measured: Measures | None = None
        self.unsettled_at = _NOT_YET
        """Until when something was not as usual: requests from then teach nothing."""
        self.in_flight = 0
        self.awaiting = 0
        self.waiting_since = self.idle_since = clock()
        self.first_at = _NOT_YET
        self.flow_at = _NOT_YET
        self.told_at = _NOT_YET
        self.widest = 0.0
        """The longest silence since `progress` was told last, in seconds."""
        self.telling = _NOT_YET
        """Of what silence, in seconds, the end is to be told to `went_on`: a longer one than the
        widest; while there is a doubt, any."""
        self.expecting: dict[int, Prompt] = {}
        """Each stream that has brought nothing yet, the oldest first."""
        self.prompts = Prompts()
        self.chunks = 0
        self.started = 0
        self.finished = 0
        self.cancelled = 0
        self.errors = _NO_ERRORS
        self.durations: list[int] | None = None
        self.duration_sum = 0.0

    @property
    def alert(self) -> bool:
        """Whether the endpoint is in doubt: each good chunk is told at once."""
        return self._alert

    @alert.setter
    def alert(self, alert: bool) -> None:
        self._alert = alert
        self.telling = _NOT_YET if alert else self.widest

    @property
    def seen_at(self) -> float:
        """When the newest proof came: a good chunk, or the good end of a stream."""
        return max(self.first_at, self.flow_at)

    def glance(self, _now: float) -> float | None:
        """Return when work in flight last went on, or its silence began; None if there is none."""
        return max(self.flow_at, self.waiting_since) if self.awaiting else None

    def progress(self) -> Progress | None:
        """Return the newest good chunk as evidence, once."""
        seen_at = max(self.first_at, self.flow_at)
        if seen_at <= self.told_at:
            return None
        self.told_at = seen_at
        gap, self.widest = self.widest, 0.0
        self.telling = _NOT_YET if self._alert else 0.0
        return Progress(seen_at, flow=False, gap=gap, began_at=self.first_at)

    def load(self, now: float, *, before: int | None = None) -> Load | None:
        """Return the work in flight: streams whose handler owes the next chunk.

        Its `flow_at` is as long ago as the silence has lasted. None if there was none `before`
        and there is none now.
        """
        self.known = bool(self.awaiting)
        if before == 0 and not self.awaiting:
            return None
        silent_from = max(self.flow_at, self.waiting_since)
        newcomers = self._newcomers(now, silent_from)
        return Load(now, self.awaiting, silent_from, newcomers=newcomers)

    def _newcomers(self, now: float, silent_from: float) -> bool:
        """Whether there may be a prompt being read, for which all others wait since then."""
        if not self.expecting:
            return False
        expecting = self.expecting.values()
        oldest = next(iter(expecting))
        if len(expecting) < self.in_flight and oldest.began > silent_from + _AT_ONCE:
            return False
        reading = now - max(oldest.began, self.seen_at)
        if reading <= ALLOWED:  # the usual case
            return True
        return reading <= self.prompts.longest(prompt.size for prompt in expecting)

    def begun(self, stream: int, now: float) -> None:
        """Note the first item of a stream, which says how long its prompt was read."""
        prompt = self.expecting.pop(stream, None)
        if prompt is not None and prompt.size is not None and prompt.began > self.unsettled_at:
            self.prompts.read(prompt.size, now - max(prompt.began, self.seen_at))
        self.first_at = now
        if self._alert:
            self.told_at = now
            self.witness(Progress(now, flow=False, began_at=now))

    def waits(self, now: float) -> None:
        """Count one more stream whose handler owes a chunk."""
        if not self.awaiting:
            self.ends_rest(now)
        self.awaiting += 1
        if not self.known and (load := self.load(now)) is not None:
            self.witness(load)

    def ends_rest(self, now: float) -> None:
        """Let the silence go on from where it stood when the rest began, in which nothing was owed.

        A chunk that goes on does not write down that a rest begins with it: its own time says it.
        """
        rest = now - max(self.idle_since, self.flow_at)
        self.waiting_since = max(self.waiting_since, self.flow_at) + rest

    def silence(self, now: float) -> float:
        """Return for how long nothing has gone on, in seconds, rests left out."""
        until = now if self.awaiting else max(self.idle_since, self.flow_at)
        return max(until - max(self.waiting_since, self.flow_at), 0.0)

    def failed(self, fault: RequestFault, detail: str, *, stream: int) -> None:
        """Count a failed request, and tell of it. It is owed nothing any more."""
        self.errors = {**self.errors, fault: self.errors.get(fault, 0) + 1}
        prompt = self.expecting.pop(stream, None)
        if fault is RequestFault.CLIENT and prompt is not None:
            self._refused(prompt, self.clock())
        self.witness(RequestFailed(self.clock(), fault, detail))

    def _refused(self, prompt: Prompt, now: float) -> None:
        """Take back the silence that was a refused request's alone.

        A refusal is an answer, but no word on what others are owed: one that validation gives at
        once proves nothing of an engine behind it that hangs.
        """
        if self.awaiting > len(self.expecting):
            return  # somebody waits in the middle of an answer
        flowed = self.flow_at > prompt.began
        began, silence = (self.flow_at, 0.0) if flowed else (prompt.began, prompt.silence)
        others = min((one.began for one in self.expecting.values()), default=now)
        excused = min(others - began, self.silence(now) - silence)
        if excused <= 0:
            return
        self.waiting_since = max(self.waiting_since, self.flow_at) + excused
        for stream, one in self.expecting.items():
            self.expecting[stream] = one._replace(silence=max(one.silence - excused, 0.0))

    def brought_nothing(self) -> None:
        """Tell of a request that ended well and without any output, and was no error either."""
        self.witness(RequestFailed(self.clock(), RequestFault.EMPTY, "it brought no output"))

    def went_on(self, now: float, silent: float) -> None:
        """Note that a stream goes on after such a silence, in seconds, which `telling` asks for."""
        self.widest = max(self.widest, silent)
        if self._alert:
            self.told_at = now
            self.witness(Progress(now, began_at=self.first_at))
        else:
            self.telling = self.widest

    def went_well(self, now: float) -> None:
        """Note that a request with output came to its end, which is flow too."""
        self.flow_at = now
        if self._alert:
            self.told_at = now
            self.witness(Progress(now, began_at=self.first_at))

    def ended(self, seconds: float) -> None:
        """Count the duration of a request, good or bad."""
        if self.durations is None:
            self.durations = [0] * (len(BUCKETS) + 1)
        self.durations[bisect_left(BUCKETS, seconds)] += 1
        self.duration_sum += seconds


async def accounted(
    traffic: Traffic, stream: AsyncIterator[Any], size: int | None = None
) -> AsyncGenerator[Any, None]:
    """Pass a handler's stream on, unchanged, and keep the account of it.

    `size`: how long its prompt is, in tokens and roughly; None if nobody knows.
    """
    clock = traffic.clock
    began = clock()
    left: int | None = None  # good chunks until the next sample; a count of all would cost more
    waiting, told, empty = True, False, False
    failure: Exception | None = None
    traffic.started = mine = traffic.started + 1
    traffic.expecting[mine] = Prompt(began, size, traffic.silence(began))
    traffic.in_flight = load = traffic.in_flight + 1
    traffic.waits(began)
    now = first = last = began
    rested, rests = 0.0, 0
    try:
        async for item in stream:
            now = clock()
            traffic.awaiting = others = traffic.awaiting - 1
            try:  # costs nothing; to write down each time that it waits would
                if (  # as `looks_bad`, of which the call would cost too much here
                    type(item) is dict
                    and "error" not in item
                    and ("finish_reason" not in item or item["finish_reason"] is None)
                    and "choices" not in item
                    and "event" not in item
                ) or not looks_bad(item):
                    if left:
                        left -= 1
                        silent = traffic.waiting_since
                        if silent < traffic.flow_at:  # noqa: PLR1730 - max() costs too much here
                            silent = traffic.flow_at
                        traffic.flow_at = now  # a rest begins, if no other is owed anything
                        silent = now - silent
                        if silent > traffic.telling:
                            traffic.went_on(now, silent)
                    else:
                        first, left = now, 0
                        if not others:
                            traffic.idle_since = now
                        traffic.begun(mine, now)
                else:
                    told = True
                    if not others:
                        traffic.idle_since = now
                    traffic.failed(blame_item(item), error_in(item) or "", stream=mine)
                yield item
            except BaseException:
                waiting = False
                raise
            if left == 0:  # how long the consumer rests; not each time, for its cost
                rested += clock() - now
                rests += 1
                left = SAMPLE
            others = traffic.awaiting
            if not others:
                if traffic.flow_at is now:  # this chunk's own: the usual case of `ends_rest`
                    traffic.waiting_since = clock()
                else:
                    traffic.ends_rest(clock())
            traffic.awaiting = others + 1
        traffic.finished += 1
        empty = left is None and not told
        if left is not None and not told:
            last = now
            traffic.went_well(clock())
    except (asyncio.CancelledError, GeneratorExit):
        traffic.cancelled += 1
        raise
    except Exception as error:
        failure = error
        raise
    finally:
        now = clock()
        if waiting:
            traffic.awaiting -= 1
            if not traffic.awaiting:
                traffic.idle_since = now
        traffic.in_flight -= 1
        if failure is not None:  # told when it is no longer in flight itself
            detail = f"{type(failure).__name__}: {excerpt(failure)}"
            traffic.failed(blame(failure), detail, stream=mine)
            failure = None  # it holds this frame, which holds it
        else:
            traffic.expecting.pop(mine, None)
            if empty:
                traffic.brought_nothing()
        good = 0 if left is None else 1 + SAMPLE * rests - left
        traffic.chunks += good
        if last > began > traffic.unsettled_at and traffic.measured is not None:
            gap = (last - first) / (good - 1) - rested / rests if good > 1 else None
            traffic.measured.request(first - began, gap, load)
        traffic.ended(now - began)
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()


def blame(error: BaseException) -> RequestFault:
    """Say whose fault an exception of a handler is; engines raise ValueError for bad input."""
    if isinstance(error, TimeoutError):
        return RequestFault.TIMEOUT
    if isinstance(error, OSError):
        return RequestFault.TRANSPORT
    return RequestFault.CLIENT if isinstance(error, ValueError) else RequestFault.SERVER


def blame_item(item: Any) -> RequestFault:
    """Say whose fault an item is that carries an error; a code of 4xx is the client's."""
    code = status_of(item)
    client = code is not None and 400 <= code < 500 and code not in (408, 429)
    return RequestFault.CLIENT if client else RequestFault.SERVER
