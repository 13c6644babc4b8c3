from __future__ import annotations

import json

import pytest

from serinus.engines.listing import MAX_LIST_BYTES, read_model_list
from serinus.errors import EngineError


def listed(*models: object) -> bytes:
    return json.dumps({"object": "list", "data": models}).encode()


def test_base_models_come_before_their_adapters() -> None:
    """The first model is the one that is asked: an adapter may be unloaded at any time."""
    body = listed({"id": "lora", "parent": "base"}, {"id": "base", "parent": None}, {"id": "other"})
    assert read_model_list(body) == ("base", "other", "lora")


def test_a_model_is_listed_once() -> None:
    """A server with several replicas may name it several times."""
    assert read_model_list(listed({"id": "a"}, {"id": "b"}, {"id": "a"})) == ("a", "b")


def test_a_list_without_end_is_refused() -> None:
    """A bound, named in the message."""
    with pytest.raises(EngineError, match=f"larger than {MAX_LIST_BYTES} bytes"):
        read_model_list(b" " * (MAX_LIST_BYTES + 1))


def test_an_error_in_place_of_the_list_is_shown_short() -> None:
    """What came back, and what would have been fine."""
    with pytest.raises(EngineError) as raised:
        read_model_list(b'{"error": "' + b"x" * 1000 + b'"}')
    message = str(raised.value)
    assert message.startswith('not a list of models: \'{"error": "xxx')
    assert message.endswith('expected {"data": [{"id": …}]}')
    assert len(message) < 300
