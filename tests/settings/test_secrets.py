"""Secrets appear in no output, no error, no repr."""

from __future__ import annotations

import io
import os
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.cli import main
from serinus.errors import SettingsError
from serinus.settings import Settings, api_key, load, status_token

VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=40)
ANYTHING = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=40)


def said(environ: dict[str, str], *argv: str) -> str:
    """Everything that a command line prints, errors included."""
    out, err = io.StringIO(), io.StringIO()
    with patch.dict(os.environ, environ, clear=True), redirect_stdout(out), redirect_stderr(err):
        main(argv)
    return out.getvalue() + err.getvalue()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["SERINUS_STATUS_TOKEN", "SERINUS_API_KEY"]), VISIBLE | ANYTHING)
def test_a_secret_in_a_variable_is_printed_by_no_command(variable: str, text: str) -> None:
    """Accepted or refused, with or without other mistakes: it is not in the output."""
    secret = f"hunter2{text}"
    for others in ({}, {"DYN_SYSTEM_PORT": "x"}, {"SERINUS_STATUS_TOKEN_FILE": "/nonexistent"}):
        environ = {**others, variable: secret}
        for argv in (["show", "--all"], ["show", "--all", "--json"], ["show"], ["check"]):
            assert "hunter2" not in said(environ, "config", *argv)


@settings(max_examples=40, deadline=None)
@given(VISIBLE | ANYTHING)
def test_a_secret_in_a_file_is_printed_by_no_command(text: str) -> None:
    """Neither that of a secret's own file nor that of a settings file."""
    with tempfile.TemporaryDirectory() as folder:
        key, ours = Path(folder, "key"), Path(folder, "serinus.toml")
        key.write_text(f"hunter2{text}")
        ours.write_text("api_key = ['hunter2']\nstatus_token = 'hunter2 two'\n")
        for environ in ({"SERINUS_API_KEY_FILE": str(key)}, {"SERINUS_CONFIG": str(ours)}):
            for argv in (["show", "--all"], ["show", "--json"], ["check"]):
                assert "hunter2" not in said(environ, "config", *argv)


@given(VISIBLE)
def test_a_secret_is_not_in_a_repr(text: str) -> None:
    """Reprs end up in logs and tracebacks."""
    secret = f"hunter2{text}"
    result = load(environ={"SERINUS_STATUS_TOKEN": secret}, reference_files=())
    assert "hunter2" not in repr(result)
    assert "hunter2" not in repr(Settings(api_key=secret, status_token=secret))


def test_a_secret_comes_from_its_setting_or_its_file(tmp_path: Path) -> None:
    """White space around it, the newline that every editor adds, is not part of it."""
    path = tmp_path / "secret"
    path.write_text(" swordfish\r\n")
    assert status_token(Settings(status_token="given")) == "given"
    assert api_key(Settings(api_key="given")) == "given"
    assert status_token(Settings(status_token_file=str(path))) == "swordfish"
    assert api_key(Settings(api_key_file=str(path))) == "swordfish"
    assert status_token(Settings()) is None
    assert api_key(Settings()) is None


def test_a_secret_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    """A mounted secret changes while the process runs."""
    path = tmp_path / "secret"
    path.write_text("old")
    loaded = load(environ={"SERINUS_API_KEY_FILE": str(path)}, reference_files=()).settings
    path.write_text("new")
    assert api_key(loaded) == "new"
    path.unlink()
    with pytest.raises(SettingsError) as caught:
        api_key(loaded)
    assert str(caught.value) == (
        f"api_key_file: {str(path)!r} is not accepted; it cannot be read: No such file or directory"
    )
