"""What llama.cpp's server adds to OpenAI's API: its header, `/slots`, `/props` and its metrics.

`/metrics` (as with `--metrics`) and `/slots` are answered by its main loop, and hang while that
does; `/health` is answered beside it, and says 200. `tokens_predicted_total` moves when a request
ends, `n_decode_total` at every step, and `prompt_tokens_total` at every step that brings a token.
"""

from __future__ import annotations

from serinus.sim.asks import Dialect
from serinus.sim.loading import LoadShape
from serinus.sim.metrics import Counter, Gauge, page
from serinus.sim.observer import Observer, Step
from serinus.sim.openai import OpenAi
from serinus.sim.options import SimOptions
from serinus.sim.pages import METRICS, Page, Pages, Situation, json_page
from serinus.sim.shapes import OpenAiShapes

__all__ = ["LlamaCpp"]

_ALL: dict[str, str] = {}


class LlamaCppShapes(OpenAiShapes):
    """The JSON of llama.cpp's server."""

    owner = "llamacpp"


class LlamaCppPage:
    """The metrics page, and the observer that keeps it."""

    def __init__(self) -> None:
        self.running = 0
        self._read = 0
        """Prompt tokens that are read, and not on the page yet."""
        self._predicted = Counter(
            "llamacpp:tokens_predicted_total", "Number of generation tokens processed.", _ALL
        )
        self._prompts = Counter(
            "llamacpp:prompt_tokens_total", "Number of prompt tokens processed.", _ALL
        )
        self._decodes = Counter(
            "llamacpp:n_decode_total", "Total number of llama_decode() calls", _ALL
        )
        self._processing = Gauge(
            "llamacpp:requests_processing", "Number of requests processing.", _ALL
        )
        self._deferred = Gauge("llamacpp:requests_deferred", "Number of requests deferred.", _ALL)

    def stepped(self, step: Step) -> None:
        """Take down a step."""
        self.running = step.running
        self._processing.set(step.running, _ALL)
        self._deferred.set(step.waiting, _ALL)
        self._decodes.add(step.computed_tokens > 0, _ALL)
        self._read += step.computed_tokens - step.tokens
        if step.tokens:
            self._prompts.add(self._read, _ALL)
            self._read = 0
        self._predicted.add(sum(end.tokens for end in step.ended), _ALL)

    def refused(self) -> None:
        """Count nothing: it does not."""

    def text(self) -> str:
        """Return the page."""
        families = (self._prompts, self._predicted, self._decodes, self._processing, self._deferred)
        return page(families, created=0.0)


class LlamaCpp(OpenAi):
    """The flavour of llama.cpp's server."""

    name = "llamacpp"
    server = "llama.cpp"
    load_shape = LoadShape.EMPTY

    def __init__(self, options: SimOptions) -> None:
        self._slots = options.pace.slots
        self._page = LlamaCppPage()
        self.shapes = LlamaCppShapes(options.model)
        self.dialect = Dialect(
            options.model, options.context, takes_token_ids=True, needs_model=False
        )

    @property
    def observer(self) -> Observer:
        """The metrics page."""
        return self._page

    def metrics(self) -> str:
        """Return the metrics page as it is now."""
        return self._page.text()

    def pages(self) -> Pages:
        """Return the pages beside the two that make text."""
        props = {"default_generation_settings": {}, "total_slots": self._slots}
        return {
            **super().pages(),
            "/metrics": {"GET": self._metrics},
            "/slots": {"GET": self._list_slots},
            "/props": {"GET": lambda _: json_page(props)},
        }

    async def _metrics(self, situation: Situation) -> Page:
        await situation.core()
        return Page(200, situation.metrics(), METRICS)

    async def _list_slots(self, situation: Situation) -> Page:
        await situation.core()
        busy = self._page.running
        return json_page([{"id": at, "is_processing": at < busy} for at in range(self._slots)])
