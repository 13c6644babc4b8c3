"""The engines that can be simulated: what a flavour is, and the list of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from serinus.sim.asks import Dialect
from serinus.sim.llamacpp import LlamaCpp
from serinus.sim.loading import LoadShape
from serinus.sim.observer import Observer
from serinus.sim.openai import OpenAi
from serinus.sim.options import EngineName, SimOptions
from serinus.sim.pages import Page, Pages
from serinus.sim.sglang import Sglang
from serinus.sim.shapes import OpenAiShapes
from serinus.sim.transformers import Transformers
from serinus.sim.vllm import Vllm

__all__ = ["FLAVOURS", "Flavour", "Ranked"]


class Flavour(Protocol):
    """An engine's dress. `load_shape` is how it loads, unless another way is asked for.

    `server` is what it says in the header of that name.
    """

    name: str
    server: str
    load_shape: LoadShape
    shapes: OpenAiShapes
    dialect: Dialect

    @property
    def observer(self) -> Observer:
        """Who is to hear of the engine's steps."""

    def metrics(self) -> str:
        """Return the metrics page as it is now; empty if there is none."""

    def pages(self) -> Pages:
        """Return the pages beside the two that make text."""

    def unknown(self, status: int) -> Page:
        """Return the answer to a path (404) or a method (405) that is not served."""


@runtime_checkable
class Ranked(Protocol):
    """A flavour whose servers have data-parallel ranks."""

    def observer_of(self, rank: int) -> Observer:
        """Return who is to hear of the steps of one rank of several."""


FLAVOURS: Mapping[EngineName, Callable[[SimOptions], Flavour]] = {
    EngineName.VLLM: Vllm,
    EngineName.SGLANG: Sglang,
    EngineName.LLAMACPP: LlamaCpp,
    EngineName.TRANSFORMERS: Transformers,
    EngineName.OPENAI: OpenAi,
}
