from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.evidence import CanaryFault
from serinus.engines import Blame, refusal
from serinus.engines.refusals import error_text

CHAT_ONLY = (
    "This is a chat model and not supported in the v1/completions endpoint. "
    "Did you mean to use v1/chat/completions?"
)


def error(message: str, **fields: object) -> bytes:
    return json.dumps({"error": {"message": message, **fields}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "blame", "detail"),
    [
        (401, b'{"error":"Unauthorized"}', Blame.CANARY, "refused by authorization (HTTP 401)"),
        (403, b"key sk-1234567890ab", Blame.CANARY, "refused by authorization (HTTP 403)"),
        (404, error("The model `x` does not exist."), Blame.CANARY, "model not found (HTTP 404)"),
        (404, error("no x here", param="model"), Blame.CANARY, "model not found (HTTP 404)"),
        (404, error("no", code="model_not_found"), Blame.CANARY, "model not found (HTTP 404)"),
        (404, b'{"error": "model \\"x\\" not found"}', Blame.CANARY, "model not found (HTTP 404)"),
        (400, error("prompt must be a string"), Blame.CANARY, "bad request (HTTP 400)"),
        (422, b'{"detail": "Unexpected fields"}', Blame.CANARY, "bad request (HTTP 422)"),
        (413, b"", Blame.CANARY, "request refused (HTTP 413)"),
        (307, b"", Blame.CANARY, "redirected: give the address that answers itself (HTTP 307)"),
        (429, error("too many"), Blame.LOAD, "the engine has too much to do (HTTP 429)"),
        (
            503,
            error("The engine is currently busy and cannot accept new requests."),
            Blame.LOAD,
            "the engine has too much to do (HTTP 503)",
        ),
        (408, b"", Blame.LOAD, "the engine has too much to do (HTTP 408)"),
        (529, b"", Blame.LOAD, "the engine has too much to do (HTTP 529)"),
        (500, error("EngineCore died"), Blame.ENGINE, "the engine failed (HTTP 500)"),
        (503, error("Loading model"), Blame.ENGINE, "the engine failed (HTTP 503)"),
        (
            500,
            b'{"object":"error","message":"no"}',
            Blame.ENGINE,
            "the engine failed (HTTP 500): 'no'",
        ),
        (502, b"<html>Bad Gateway</html>", Blame.ENGINE, "the engine failed (HTTP 502)"),
        (204, b"", Blame.ENGINE, "not the status of an answer (HTTP 204)"),
    ],
)
def test_a_status_says_whose_fault_it_is(
    status: int, body: bytes, blame: Blame, detail: str
) -> None:
    """4xx is the canary's, too much load is nobody's, the rest is the engine's."""
    failure = refusal(status, body)
    assert failure.fault is CanaryFault.ERROR_ITEM
    assert (failure.blame, failure.status, failure.unsupported) == (blame, status, False)
    assert failure.detail.startswith(detail)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"detail":"Not Found"}'),
        (404, b"<html>nginx</html>"),
        (404, b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}'),
        (404, error(CHAT_ONLY, param="model")),
        (405, b""),
        (501, error("This server does not support completions.")),
        (501, b""),
        (400, error("The model does not support Completions API")),
    ],
)
def test_a_route_that_is_not_there_calls_for_the_next_alternative(status: int, body: bytes) -> None:
    """The caller learns it from `unsupported`, not from a status of its own reading."""
    failure = refusal(status, body)
    assert failure.unsupported
    assert failure.blame is Blame.CANARY


@pytest.mark.parametrize("status", [401, 403])
def test_an_authorization_failure_repeats_nothing(status: int) -> None:
    """Servers repeat the key they were sent; we do not."""
    failure = refusal(status, error("Incorrect API key provided: my-own-key"))
    assert "my-own-key" not in failure.detail


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefghijkl",
        "hf_abcdefghijklmnop",
        "Bearer abcdef.ghi-jkl",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig",
        "api_key=abcdefgh",
        '"token": "abcdefgh"',
        "https://user:password@host/",
    ],
)
def test_what_looks_like_a_credential_is_left_out(secret: str) -> None:
    """Also from messages that are shown."""
    detail = refusal(500, error(f"upstream said no to {secret} today")).detail
    assert "(left out)" in detail
    assert "abcdefgh" not in detail
    assert "password" not in detail
    assert "eyJzdWIi" not in detail


def test_a_long_message_is_cut_short() -> None:
    """A stack trace does not fill a health page."""
    assert len(refusal(500, error("x" * 10_000)).detail) < 250


def test_an_error_too_deep_to_be_shown_is_said_to_be_so() -> None:
    """Showing a failure never fails itself."""
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert error_text(nested) == "(nested too deep to be shown)"


def test_an_error_nested_to_the_edge_is_still_a_failure() -> None:
    """JSON can nest just deep enough to be read and not to be written again."""
    for depth in (10, 300, 900, 960, 980, 2000):
        body = b'{"error": ' + b"[" * depth + b"]" * depth + b"}"
        assert refusal(500, body).blame is Blame.ENGINE


@given(status=st.integers(100, 999), body=st.binary(max_size=200))
def test_any_status_and_body_make_a_short_failure(status: int, body: bytes) -> None:
    """Nothing a server sends raises here, or grows."""
    assert len(refusal(status, body).detail) < 900
