"""What SGLang 0.5 adds to OpenAI's API: prompts of ids, a health that generates, its metrics.

Its `/health` has the engine make one token and looks once a second whether any came: 1.0 s on an
idle engine that is well, 503 after 20 s. On its page `generation_tokens_total` moves when a request
ends; the gauges are written at a prefill, every 40 steps and when the engine falls idle. Its times
from token to token are of no rank.
"""

from __future__ import annotations

import asyncio

from serinus.sim.asks import Dialect
from serinus.sim.jobs import HEALTH_ORDER
from serinus.sim.loading import LoadShape
from serinus.sim.metrics import Counter, Gauge, Histogram, Joined, Labels, page
from serinus.sim.observer import Observer, Step
from serinus.sim.openai import OpenAi
from serinus.sim.options import SimOptions
from serinus.sim.pages import METRICS, SERVER, Page, Pages, Situation, json_page
from serinus.sim.shapes import OpenAiShapes

__all__ = ["Sglang"]

_LOOK, _LOOKS = 1.0, 20
_WRITE_EVERY = 40
_GAP = (0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08, 0.1,
        0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0)  # fmt: skip


class SglangShapes(OpenAiShapes):
    """The JSON of SGLang."""

    owner = "sglang"


class SglangPage:
    """The metrics page of all ranks. Requests are counted where they are tokenised: by no rank."""

    def __init__(self, model: str, ranks: int) -> None:
        of = {"model_name": model, "engine_type": "unified"}
        self._of = of
        self._generated = Counter("sglang:generation_tokens_total", "Tokens, at the end.", of)
        self._ended = Gauge("sglang:e2e_request_latency_seconds_count", "Ended requests.", of)
        self._gaps = Histogram(
            "sglang:inter_token_latency_seconds", "From token to token.", _GAP, of
        )
        self.ranks = tuple(
            SglangRank(of if ranks == 1 else {**of, "dp_rank": str(rank)}, self)
            for rank in range(ranks)
        )

    @property
    def made(self) -> int:
        """All tokens so far."""
        return sum(rank.made for rank in self.ranks)

    def ended(self, tokens: int) -> None:
        """Count a request that came to its end."""
        self._generated.add(tokens, self._of)
        self._ended.add(1, self._of)

    def came(self, gap: float) -> None:
        """Count a token that came so long after the one before it."""
        self._gaps.observe(gap)

    def text(self) -> str:
        """Return the page."""
        families = [rank.families() for rank in self.ranks]
        joined = [Joined(parts) for parts in zip(*families, strict=True)]
        return page((*joined, self._generated, self._ended, self._gaps), created=0.0)


class SglangRank:
    """The part of one rank, and the observer that keeps it. `made` is its tokens so far."""

    def __init__(self, labels: Labels, whole: SglangPage) -> None:
        of = {**labels, "tp_rank": "0", "pp_rank": "0"}
        self._of = of
        self._whole = whole
        self._decode, self._prefill = {**of, "mode": "decode"}, {**of, "mode": "prefill_compute"}
        self.made = 0
        self._steps = 0
        self._running = Gauge("sglang:num_running_reqs", "The number of running requests.", of)
        self._queued = Gauge("sglang:num_queue_reqs", "The number of requests in the queue.", of)
        self._tokens = Counter(
            "sglang:realtime_tokens_total", "Tokens processed.", self._decode, self._prefill
        )

    def stepped(self, step: Step) -> None:
        """Take down a step; the gauges are written now and then."""
        self.made += step.tokens
        self._steps += step.tokens > 0
        self._tokens.add(step.tokens, self._decode)
        self._tokens.add(step.computed_tokens - step.tokens, self._prefill)
        if not step.running or step.prompt_tokens or self._steps % _WRITE_EVERY == 0:
            self._running.set(step.running, self._of)
            self._queued.set(step.waiting, self._of)
        for end in step.ended:
            if end.order != HEALTH_ORDER:
                self._whole.ended(end.tokens)
        for gap in step.gaps:
            self._whole.came(gap)

    def refused(self) -> None:
        """Count nothing: SGLang does not."""

    def families(self) -> tuple[Gauge, ...]:
        """Return its families, in the order of the page."""
        return self._running, self._queued, self._tokens


class Sglang(OpenAi):
    """The flavour of SGLang."""

    name = "sglang"
    server = SERVER
    load_shape = LoadShape.CLOSED

    def __init__(self, options: SimOptions) -> None:
        self._page = SglangPage(options.model, options.ranks)
        self.shapes = SglangShapes(options.model)
        self.dialect = Dialect(
            options.model,
            options.context,
            takes_token_ids=True,
            needs_model=False,
            rank_field="routed_dp_rank" if options.ranks > 1 else None,
        )

    @property
    def observer(self) -> Observer:
        """The metrics page."""
        return self.observer_of(0)

    def observer_of(self, rank: int) -> Observer:
        """Return the part of the metrics page that is a rank's."""
        return self._page.ranks[rank]

    def metrics(self) -> str:
        """Return the metrics page as it is now."""
        return self._page.text()

    def pages(self) -> Pages:
        """Return the pages beside the two that make text."""
        info = {"model_path": self.shapes.model, "is_generation": True}
        return {
            **super().pages(),
            "/": {"GET": lambda _: json_page("SGLang is running")},
            "/health": {"GET": self._health},
            "/health_generate": {"GET": self._health},
            "/ping": {"GET": lambda now: Page(503 if now.loading else 200)},
            "/model_info": {"GET": lambda _: json_page(info)},
            "/metrics": {"GET": lambda now: Page(200, now.metrics(), METRICS)},
        }

    def unknown(self, status: int) -> Page:
        """Return FastAPI's answers to a path or a method that is not served."""
        detail = "Not Found" if status == 404 else "Method Not Allowed"
        return json_page({"detail": detail}, status=status)

    async def _health(self, situation: Situation) -> Page:
        if situation.loading:
            return Page(503)
        before = self._page.made
        with situation.generates():
            for _ in range(_LOOKS):
                await asyncio.sleep(_LOOK)
                if self._page.made > before:
                    return Page()
        return Page(503)
