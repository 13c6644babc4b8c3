"""Where an engine is, as people write it."""

from __future__ import annotations

import pytest

from serinus.errors import SettingsError
from serinus.sidecar.place import Place

ACCEPTED = "accepted: http://HOST:PORT or https://HOST:PORT, with a path before /v1 if there is one"
HIDDEN = (
    "--url: a URL with credentials is not accepted (not shown); give an API key by "
    "SERINUS_API_KEY or --api-key-file"
)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1/models"),
        (" http://127.0.0.1:8000/ ", "http://127.0.0.1:8000/v1/models"),
        ("http://engine", "http://engine:80/v1/models"),
        ("HTTPS://Engine.Example", "https://engine.example:443/v1/models"),
        ("http://engine:8000/v1", "http://engine:8000/v1/models"),
        ("http://engine:8000/v1/", "http://engine:8000/v1/models"),
        ("http://engine:8000/team/llm/v1", "http://engine:8000/team/llm/v1/models"),
        ("http://engine:8000/team", "http://engine:8000/team/v1/models"),
        ("http://[::1]:8000", "http://[::1]:8000/v1/models"),
        ("http://my_engine:8000", "http://my_engine:8000/v1/models"),
    ],
)
def test_a_url_is_taken_apart_and_put_together(text: str, url: str) -> None:
    """Also a client's base URL, which ends in /v1."""
    assert Place.parse(text).url("/v1/models") == url


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("localhost:8000", f"--url: 'localhost:8000' is not accepted; {ACCEPTED}"),
        ("127.0.0.1", f"--url: '127.0.0.1' is not accepted; {ACCEPTED}"),
        ("", f"--url: '' is not accepted; {ACCEPTED}"),
        ("ftp://engine", f"--url: 'ftp://engine' is not accepted; {ACCEPTED}"),
        ("http://", f"--url: 'http://' is not accepted; {ACCEPTED}"),
        ("http://:8000", f"--url: 'http://:8000' is not accepted; {ACCEPTED}"),
        ("http://engine:0", f"--url: 'http://engine:0' is not accepted; {ACCEPTED}"),
        ("http://en gine", f"--url: 'http://en gine' is not accepted; {ACCEPTED}"),
        ("http://engine/a b", f"--url: 'http://engine/a b' is not accepted; {ACCEPTED}"),
        (
            "http://engine:70000",
            f"--url: 'http://engine:70000' is not accepted; {ACCEPTED} (Port out of range 0-65535)",
        ),
        (
            "http://engine/v1?key=secret",
            (
                f"--url: 'http://engine/v1' is not accepted; {ACCEPTED} "
                "(without a query or a fragment)"
            ),
        ),
        ("http://user:secret@engine:8000", HIDDEN),
        ("https://secret@engine", HIDDEN),
    ],
)
def test_what_is_not_accepted_is_said(text: str, message: str) -> None:
    """What it was, and what would have been accepted; never a secret."""
    with pytest.raises(SettingsError) as raised:
        Place.parse(text)
    assert str(raised.value) == message
    assert "secret" not in str(raised.value)


def test_credentials_do_not_leak_from_what_cannot_be_parsed_either() -> None:
    """A broken URL is shown, but not one that may have a password in it."""
    with pytest.raises(SettingsError) as raised:
        Place.parse("http://user:secret@engine:port")
    assert "secret" not in str(raised.value)
