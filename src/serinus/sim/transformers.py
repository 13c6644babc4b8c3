"""What `transformers serve` is like: no metrics, no ids, no `[DONE]`, and a `/health` of 200."""

from __future__ import annotations

from serinus.sim.asks import Dialect
from serinus.sim.loading import LoadShape
from serinus.sim.openai import OpenAi
from serinus.sim.options import SimOptions
from serinus.sim.pages import Page, Pages, json_page
from serinus.sim.shapes import OpenAiShapes

__all__ = ["Transformers"]

_ROUTES = ("/v1/chat/completions", "/v1/completions", "/load_model", "/reset", "/v1/models")


class TransformersShapes(OpenAiShapes):
    """The JSON of `transformers serve`."""

    done = False
    owner = ""


class Transformers(OpenAi):
    """The flavour of `transformers serve`."""

    name = "transformers"
    load_shape = LoadShape.CLOSED

    def __init__(self, options: SimOptions) -> None:
        self.shapes = TransformersShapes(options.model)
        self.dialect = Dialect(
            options.model, options.context, takes_token_ids=False, needs_model=True
        )

    def pages(self) -> Pages:
        """Return the pages beside the two that make text."""
        routes = {"openapi": "3.1.0", "paths": {path: {} for path in (*_ROUTES, "/health")}}
        return {**super().pages(), "/openapi.json": {"GET": lambda _: json_page(routes)}}

    def unknown(self, status: int) -> Page:
        """Return FastAPI's answers to a path or a method that is not served."""
        detail = "Not Found" if status == 404 else "Method Not Allowed"
        return json_page({"detail": detail}, status=status)
