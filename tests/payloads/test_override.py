from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.errors import SettingsError
from serinus.payloads import HealthCheckPayload, load_override
from serinus.payloads.override import MAX_OVERRIDE_BYTES

ACCEPTED = (
    'accepted: a JSON object such as {"token_ids": [1]}, or @ and the path of a file that holds one'
)


def overridden(value: str, **more: str) -> dict[str, str]:
    return {"DYN_HEALTH_CHECK_PAYLOAD": value, **more}


@pytest.mark.parametrize("environ", [{}, overridden(""), overridden("  \n")])
def test_empty_is_unset(environ: dict[str, str]) -> None:
    """An empty variable is no override, as everywhere in the reference."""
    assert load_override(environ) is None


def test_an_object_is_taken_as_it_is() -> None:
    """The JSON's own types arrive."""
    environ = overridden(' {"a": [1, 2.5, null, true, "é"]} ')
    assert load_override(environ) == {"a": [1, 2.5, None, True, "é"]}


@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "with a byte order mark"])
def test_a_file_is_read_through_an_at_sign(tmp_path: Path, start: str) -> None:
    """`@path` loads a file; a byte order mark, which editors add, does not spoil it."""
    file = tmp_path / "payload.json"
    file.write_text(start + '{"a": 1}', encoding="utf-8")
    assert load_override(overridden(f"@{file}")) == {"a": 1}


def test_a_file_behind_a_symbolic_link_is_read(tmp_path: Path) -> None:
    """Kubernetes mounts a ConfigMap's files as links."""
    (tmp_path / "real.json").write_text('{"a": 1}')
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    assert load_override(overridden(f"@{tmp_path / 'link.json'}")) == {"a": 1}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("{bad", "is not JSON (Expecting property name enclosed in double quotes"),
        ("generate", "is not JSON (Expecting value"),
        ('{"a": NaN}', "is not JSON (NaN is not a JSON value)"),
        ("[" * 100_000, "is not JSON ("),
        ("[1]", "holds an array"),
        ('"x"', "holds a string"),
        ("true", "holds a boolean"),
        ("3", "holds a number"),
        ("2.5", "holds a number"),
        ("null", "holds null"),
        ("@/no/such/file.json", "names a file that does not exist"),
        ("@", "does not name a regular file"),
        ("@/dev/zero", "does not name a regular file"),
        ("@/a\0b", "names a file that does not exist"),
        ("@" + "x" * 300, "cannot be read ([Errno 36] File name too long"),
    ],
)
def test_a_bad_override_stops_the_start(value: str, problem: str) -> None:
    """The message has the variable, the value (cut short), the problem and what is accepted."""
    with pytest.raises(SettingsError) as raised:
        load_override(overridden(value))
    message = str(raised.value)
    assert message.startswith("DYN_HEALTH_CHECK_PAYLOAD: '")
    assert value[:3] in message
    assert problem in message
    assert message.endswith(ACCEPTED)
    assert len(message) < 500


def test_the_whole_message_of_a_bad_override() -> None:
    """One line, word for word."""
    with pytest.raises(SettingsError) as raised:
        load_override(overridden("[1, 2]"))
    assert str(raised.value) == f"DYN_HEALTH_CHECK_PAYLOAD: '[1, 2]' holds an array; {ACCEPTED}"


def bad_file(tmp_path: Path, kind: str) -> tuple[Path, str]:
    """Make a file that cannot be a payload; return it and the problem it must be named for."""
    file = tmp_path / "payload"
    match kind:
        case "a directory":
            file.mkdir()
            return file, "does not name a regular file"
        case "a fifo":
            os.mkfifo(file)
            return file, "does not name a regular file"
        case "huge":
            file.write_bytes(b" " * MAX_OVERRIDE_BYTES + b"{}")
            return file, f"names a file larger than {MAX_OVERRIDE_BYTES} bytes"
        case "not UTF-8":
            file.write_bytes(b'{"a": "\xff"}')
            return file, "names a file that is not UTF-8 text"
        case "empty":
            file.write_bytes(b"")
            return file, "is not JSON (Expecting value"
        case _:
            file.write_text("[]")
            return file, "holds an array"


@pytest.mark.parametrize(
    "kind", ["a directory", "a fifo", "huge", "not UTF-8", "empty", "not an object"]
)
def test_a_bad_file_stops_the_start(tmp_path: Path, kind: str) -> None:
    """No kind of file hangs the start or falls back in silence."""
    file, problem = bad_file(tmp_path, kind)
    with pytest.raises(SettingsError) as raised:
        load_override(overridden(f"@{file}"))
    assert problem in str(raised.value)
    assert str(raised.value).endswith(ACCEPTED)


def test_a_file_of_the_greatest_size_is_read(tmp_path: Path) -> None:
    """The bound itself is inside."""
    file = tmp_path / "payload.json"
    file.write_bytes(b'{"a": 1}'.ljust(MAX_OVERRIDE_BYTES))
    assert load_override(overridden(f"@{file}")) == {"a": 1}


def test_a_file_that_may_not_be_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's own reason is in the message."""
    file = tmp_path / "payload.json"
    file.write_text("{}")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SettingsError, match=r"cannot be read \(\[Errno 13\] Permission denied\)"):
        load_override(overridden(f"@{file}"))


def test_an_error_comes_at_construction() -> None:
    """A worker with a bad override never gets as far as serving."""

    class Mine(HealthCheckPayload):
        default_payload = {"a": 1}  # noqa: RUF012 - written as a user would

    with pytest.raises(SettingsError):
        Mine(environ=overridden("{"))


@pytest.mark.parametrize("word", ["true", "True", "1", "yes", "ON"])
def test_lenience_restores_the_warning_and_the_default(
    word: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With SERINUS_LENIENT_PAYLOAD the reference's behaviour is back: warn, then the default."""
    environ = overridden("{bad", SERINUS_LENIENT_PAYLOAD=word)
    with caplog.at_level(logging.WARNING, logger="serinus"):
        assert load_override(environ) is None
    assert len(caplog.records) == 1
    assert "DYN_HEALTH_CHECK_PAYLOAD: '{bad' is not JSON" in caplog.text
    assert "the default payload is used (SERINUS_LENIENT_PAYLOAD is on)" in caplog.text


@pytest.mark.parametrize("word", ["false", "0", "No", "off", "", " "])
def test_without_lenience_a_bad_override_is_an_error(word: str) -> None:
    """The strict way is the default."""
    with pytest.raises(SettingsError):
        load_override(overridden("{bad", SERINUS_LENIENT_PAYLOAD=word))


def test_a_bad_word_for_lenience_is_an_error_even_beside_a_good_override() -> None:
    """A misspelt switch is found before the day it is needed."""
    with pytest.raises(SettingsError) as raised:
        load_override(overridden('{"a": 1}', SERINUS_LENIENT_PAYLOAD="ture"))
    assert str(raised.value) == (
        "SERINUS_LENIENT_PAYLOAD: 'ture' is not accepted; "
        "accepted: true or false (also 1, 0, yes, no, on, off)"
    )


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_is_a_payload_or_a_settings_error(value: str) -> None:
    """No text, however odd, brings another error; `@` is left out because it reads files."""
    try:
        found = load_override(overridden(value.lstrip().lstrip("@")))
    except SettingsError:
        return
    assert found is None or isinstance(found, dict)
