from __future__ import annotations

from serinus.payloads import UnifiedHealthCheckPayload
from tests.payloads.engines import BareTokenizer

DEFAULT = {
    "token_ids": [1],
    "stop_conditions": {"max_tokens": 1, "ignore_eos": True},
    "sampling_options": {"temperature": 0.0},
    "_HEALTH_CHECK": True,
}


def test_the_default_is_the_contracts() -> None:
    """The same request for every backend, key for key."""
    assert UnifiedHealthCheckPayload(environ={}).to_dict() == DEFAULT


def test_the_bos_id_is_the_tokenizers() -> None:
    """Wrapped or not."""
    payload = UnifiedHealthCheckPayload(BareTokenizer(), environ={})
    assert payload.to_dict() == {**DEFAULT, "token_ids": [7]}


def test_extras_are_laid_over_the_request_and_the_marker_over_extras() -> None:
    """A backend may add keys or change one; none takes the marker away."""
    extras = {"sampling_options": {"temperature": 0.1}, "lora": "a", "_HEALTH_CHECK": False}
    payload = UnifiedHealthCheckPayload(extras=extras, environ={})
    assert payload.to_dict() == {
        **DEFAULT,
        "sampling_options": {"temperature": 0.1},
        "lora": "a",
    }


def test_an_empty_override_wins_here() -> None:
    """The unified backends send `{}` as it is, as the reference's do."""
    environ = {"DYN_HEALTH_CHECK_PAYLOAD": "{}"}
    assert UnifiedHealthCheckPayload(environ=environ).to_dict() == {"_HEALTH_CHECK": True}
