"""Settings as flags, as a verb with its own arguments and defaults uses them."""

from __future__ import annotations

import argparse

import pytest

from serinus.cli.flags import add_setting_flags, loaded
from serinus.settings.table import Group


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No port from the machine that runs the tests."""
    monkeypatch.delenv("DYN_SYSTEM_PORT", raising=False)
    monkeypatch.setenv("COLUMNS", "100")


def test_a_verbs_own_argument_and_a_setting_may_share_a_name() -> None:
    """The verb's `model` and the setting `model` stay apart."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    add_setting_flags(parser)
    arguments = parser.parse_args(["mine", "--model", "theirs"])
    assert arguments.model == "mine"
    assert loaded(arguments).settings.model == "theirs"


def test_a_program_shows_and_uses_its_own_defaults() -> None:
    """The sidecar listens on 9090 and sends canaries unless told otherwise."""
    defaults = {"system_port": 9090, "health_check_enabled": True}
    parser = argparse.ArgumentParser()
    add_setting_flags(parser, defaults=defaults)
    assert "[DYN_SYSTEM_PORT] (default: 9090)" in " ".join(parser.format_help().split())
    result = loaded(parser.parse_args(["--no-health-check-enabled"]), defaults=defaults)
    assert result.settings.system_port == 9090
    assert result.origins["system_port"] == "default of the program"
    assert result.settings.health_check_enabled is False


def test_a_verb_takes_the_groups_it_needs() -> None:
    """And leaves out a flag whose name it wants for itself."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_setting_flags(parser, groups=[Group.PORT], omit=["system_port"])
    parser.add_argument("--port")
    text = parser.format_help()
    assert "--host" in text
    assert "--canary-wait-time" not in text
    assert loaded(parser.parse_args(["--port", "1"])).settings.system_port == -1
