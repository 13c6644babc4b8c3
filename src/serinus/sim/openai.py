"""A plain server of OpenAI's API: no metrics, no prompts of token ids, and a `/health`.

The shape that many servers share. While it loads, `/health` is 503
as llama.cpp's is; from then on it is 200 whatever happens to the engine.
"""

from __future__ import annotations

from serinus.sim.asks import Dialect
from serinus.sim.loading import LoadShape
from serinus.sim.observer import Observer, Silent
from serinus.sim.options import SimOptions
from serinus.sim.pages import SERVER, Page, Pages, Situation, json_page
from serinus.sim.shapes import OpenAiShapes

__all__ = ["OpenAi"]


class OpenAi:
    """The flavour of a plain server."""

    name = "openai"
    server = SERVER
    load_shape = LoadShape.STAGED

    def __init__(self, options: SimOptions) -> None:
        self.shapes: OpenAiShapes = OpenAiShapes(options.model)
        self.dialect = Dialect(
            options.model, options.context, takes_token_ids=False, needs_model=True
        )

    @property
    def observer(self) -> Observer:
        """Nobody: there is no metrics page."""
        return Silent()

    def metrics(self) -> str:
        """Return nothing: there is no metrics page."""
        return ""

    def pages(self) -> Pages:
        """Return the pages beside the two that make text."""

        def health(situation: Situation) -> Page:
            if situation.loading:
                reply = self.shapes.loading()
                return json_page(reply.body, status=reply.status)
            return json_page({"status": "ok"})

        return {
            "/health": {"GET": health},
            "/v1/models": {
                "GET": lambda now: json_page(self.shapes.models(loaded=not now.loading))
            },
        }

    def unknown(self, status: int) -> Page:
        """Return the answers to a path or a method that is not served."""
        message = "Not Found" if status == 404 else "Method Not Allowed"
        reply = self.shapes.error(status, message, "invalid_request_error", None)
        return json_page(reply.body, status=status)
