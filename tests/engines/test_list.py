from __future__ import annotations

import pytest

import serinus.engines
from serinus.engines import ENGINES, engine_named
from serinus.errors import SettingsError


def test_every_engine_is_found_by_its_name() -> None:
    """One list; names are unique, and case does not matter."""
    names = [engine.name for engine in ENGINES]
    assert names == [
        "vllm",
        "sglang",
        "trtllm",
        "llamacpp",
        "tgi",
        "triton",
        "transformers",
        "ollama",
        "dynamo-frontend",
        "dynamo-worker",
        "openai",
    ]
    assert [engine_named(name.upper()) for name in names] == list(ENGINES)
    assert engine_named(" vllm ").name == "vllm"


@pytest.mark.parametrize(
    ("name", "tail"),
    [
        ("vlm", "; did you mean vllm?"),
        ("opnai", "; did you mean openai?"),
        ("sg-lang", "; did you mean sglang?"),
        ("dynamo", "; did you mean dynamo-frontend or dynamo-worker?"),
        ("lmdeploy", ""),
        ("", ""),
        ("x" * 500, ""),
    ],
)
def test_an_unknown_engine_lists_the_known_ones(name: str, tail: str) -> None:
    """The value, what is accepted, and the nearest name if one is near."""
    with pytest.raises(SettingsError) as raised:
        engine_named(name)
    message = str(raised.value)
    assert message.startswith(f"engine: '{name[:79]}")
    assert message.endswith(
        "is not known; accepted: vllm, sglang, trtllm, llamacpp, tgi, triton, transformers, "
        "ollama, dynamo-frontend, dynamo-worker, openai (any server that speaks OpenAI's API)"
        + tail
    )
    assert len(message) < 400


def test_what_is_exported_exists() -> None:
    """`__all__` promises nothing that is not there."""
    assert all(hasattr(serinus.engines, name) for name in serinus.engines.__all__)
