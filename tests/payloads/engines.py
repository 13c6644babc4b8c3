"""Fakes shaped like the engines where they keep their tokenizers. They do nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

__all__ = [
    "BareTokenizer",
    "OmniClient",
    "RendererClient",
    "Tokenizer",
    "WithoutTokenizer",
    "sglang_engine",
    "vllm_shapes",
]


@dataclass
class Tokenizer:
    """A tokenizer that knows its BOS id."""

    bos_token_id: int | None = 7


@dataclass
class BareTokenizer:
    """A tokenizer that wraps another and does not know the id itself, as TensorRT-LLM's."""

    tokenizer: object = field(default_factory=Tokenizer)


@dataclass
class RendererClient:
    """`AsyncLLM` of vLLM 0.32: a property and a function over `renderer`."""

    renderer: SimpleNamespace

    @property
    def tokenizer(self) -> object:
        """As `AsyncLLM.tokenizer`."""
        return self.renderer.tokenizer

    def get_tokenizer(self) -> object:
        """As the engine's function of that name."""
        return self.renderer.tokenizer


class WithoutTokenizer:
    """`AsyncLLM` under `--skip-tokenizer-init`: asking raises."""

    @property
    def tokenizer(self) -> object:
        """As `AsyncLLM.tokenizer`."""
        raise ValueError("Tokenizer not available when `skip_tokenizer_init=True`")

    def get_tokenizer(self) -> object:
        """As the engine's function of that name."""
        raise ValueError("Tokenizer not available when `skip_tokenizer_init=True`")


@dataclass
class OmniClient:
    """An orchestrator that gives its tokenizer to async callers only."""

    answer: object = field(default_factory=Tokenizer)

    async def get_tokenizer(self) -> object:
        """As the orchestrator's function of that name."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def vllm_shapes() -> dict[str, object]:
    """Where vLLM has kept its tokenizer, by the name of the shape."""
    one = Tokenizer()
    inner = SimpleNamespace(tokenizer=one)
    return {
        "the tokenizer itself": SimpleNamespace(tokenizer=one),
        "a tokenizer group": SimpleNamespace(tokenizer=inner),
        "a renderer (0.32)": RendererClient(renderer=inner),
        "a renderer alone": SimpleNamespace(renderer=inner),
        "an input processor": SimpleNamespace(input_processor=inner),
        "a processor": SimpleNamespace(processor=inner),
        "an input preprocessor": SimpleNamespace(input_preprocessor=inner),
        "a processor's preprocessor": SimpleNamespace(
            processor=SimpleNamespace(input_preprocessor=inner)
        ),
        "a function": SimpleNamespace(get_tokenizer=lambda: one),
    }


def sglang_engine(*, port: object = 8998, tokenizer: object = None) -> SimpleNamespace:
    """An `sgl.Engine`: its tokenizer manager has the tokenizer and the server's arguments."""
    arguments = SimpleNamespace(disaggregation_bootstrap_port=port)
    kept = Tokenizer() if tokenizer is None else tokenizer
    return SimpleNamespace(tokenizer_manager=SimpleNamespace(tokenizer=kept, server_args=arguments))
