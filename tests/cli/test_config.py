"""`serinus config`: values, where they came from, exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from serinus.cli import main
from serinus.settings import TABLE
from serinus.settings.document import page

PREFIXES = ("DYN_", "SERINUS_", "SGLANG_")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting from the machine that runs the tests, and help as wide as this."""
    for name in list(os.environ):
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `serinus config …`."""
    code = main(["config", *argv])
    out, err = capsys.readouterr()
    return code, out, err


def test_show_lists_what_is_set_and_where(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line each: the setting, its value, its origin."""
    path = tmp_path / "serinus.toml"
    path.write_text("canary_wait_time = 0.5\n")
    monkeypatch.setenv("DYN_SYSTEM_PORT", "9090")
    monkeypatch.setenv("SERINUS_STATUS_TOKEN", "swordfish")
    code, out, err = said(
        capsys, "show", "--config", str(path), "--live-mode", "Dynamo", "--no-lenient-payload"
    )
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "system_port       9090    environment DYN_SYSTEM_PORT",
        f"canary_wait_time  0.5s    file {path}",
        "lenient_payload   false   flag --no-lenient-payload",
        "live_mode         dynamo  flag --live-mode",
        "status_token      (set)   environment SERINUS_STATUS_TOKEN",
        f"5 of {len(TABLE)} are set. The others have their defaults: --all shows them.",
    ]


def test_show_says_that_nothing_is_set(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty answer would look like a fault."""
    assert said(capsys, "show") == (
        0,
        f"0 of {len(TABLE)} are set. The others have their defaults: --all shows them.\n",
        "",
    )


def test_show_all_has_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of the page."""
    _, out, _ = said(capsys, "show", "--all")
    assert [line.split()[0] for line in out.splitlines()] == list(TABLE)
    assert all(line.endswith("  default") for line in out.splitlines())


def test_json_has_typed_values(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For jq: numbers are numbers, and warnings are in it too."""
    monkeypatch.setenv("DYN_CANARY_WAIT_TIME", "500ms")
    monkeypatch.setenv("DYN_SYSTEM_PRT", "1")
    monkeypatch.setenv("SERINUS_API_KEY", "sk-1")
    code, out, err = said(capsys, "show", "--json")
    warning = "DYN_SYSTEM_PRT: unknown; did you mean DYN_SYSTEM_PORT?"
    assert code == 0
    assert json.loads(out) == {
        "settings": {
            "canary_wait_time": {"value": 0.5, "origin": "environment DYN_CANARY_WAIT_TIME"},
            "api_key": {"value": "(set)", "origin": "environment SERINUS_API_KEY"},
        },
        "warnings": [warning],
    }
    assert err == f"serinus: warning: {warning}\n"


def test_json_of_all_has_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not set is null, and no secret is guessed at."""
    _, out, _ = said(capsys, "show", "--all", "--json")
    settings = json.loads(out)["settings"]
    assert list(settings) == list(TABLE)
    assert settings["api_key"] == {"value": None, "origin": "default"}
    assert settings["use_endpoint_health_status"]["value"] == []


def test_check_is_0_when_all_is_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warnings do not make it fail."""
    monkeypatch.setenv("DYN_SYSTEM_PORT", "9090")
    monkeypatch.setenv("DYN_SYSTEM_ENABLED", "true")
    assert said(capsys, "check") == (
        0,
        f"The settings are fine. 1 of {len(TABLE)} is set.\n",
        "serinus: warning: DYN_SYSTEM_ENABLED: true is ignored, as in the reference\n",
    )


def test_check_is_2_and_lists_every_mistake(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message of `check` is the message of the start."""
    monkeypatch.setenv("DYN_SYSTEM_PORT", "abc")
    monkeypatch.setenv("SERINUS_PRT", "abc")
    code, out, err = said(capsys, "check", "--canary-jitter", "1")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "serinus: warning: SERINUS_PRT: unknown",
        "serinus: error: 2 settings are wrong:",
        (
            "  DYN_SYSTEM_PORT: 'abc' is not accepted; accepted: a whole number up to 65535: 0 = a"
            " free port, negative = off"
        ),
        "  --canary-jitter: '1' is not accepted; accepted: a number from 0 to 0.5",
    ]


def test_docs_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing before it and nothing after it."""
    assert said(capsys, "docs") == (0, page(), "")


def test_help_explains_each_flag_with_its_variable_and_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--help` teaches: the sections, the meaning, the variable, the default."""
    code, out, _ = said(capsys, "show", "--help")
    assert code == 0
    words = " ".join(out.split())
    assert words.startswith("usage: serinus config show [--json] [--all] [--config FILE]")
    for row in TABLE.values():
        if row.flag:
            assert f" {row.flag}" in words
            assert f"{row.meaning} [{row.variables[0]}]" in words
            assert f"{row.group}:" in words
    assert "--canary-wait-time SECONDS" in words
    assert "[DYN_CANARY_WAIT_TIME] (default: 10s)" in words
    assert "--live-mode serinus|dynamo" in words
    assert "--lenient-payload, --no-lenient-payload" in words
    assert "SERINUS_API_KEY]" not in words


def test_help_of_the_verb_has_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """What a person copies first."""
    code, out, _ = said(capsys, "--help")
    assert code == 0
    assert "serinus config show --all --json" in out
    assert "exit codes: 0 the settings are fine · 2 they are not" in out


@pytest.mark.parametrize("name", ["api-key", "status-token"])
def test_a_secret_is_not_taken_from_the_command_line(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """There is no such flag, and `--api-key` is not short for `--api-key-file`."""
    code, _, err = said(capsys, "show", f"--{name}", "sk-1234")
    assert code == 2
    assert f"unrecognized arguments: --{name}" in err
    assert "sk-1234" not in err


BAD_PAYLOAD = (
    "DYN_HEALTH_CHECK_PAYLOAD: '[1]' holds an array; accepted: a JSON object such as "
    '{"token_ids": [1]}, or @ and the path of a file that holds one'
)


def test_check_reads_the_payload_that_a_worker_would_stop_at(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a worker would not start with is not fine."""
    assert said(capsys, "check", "--health-check-payload", "[1]") == (
        2,
        "",
        f"serinus: error: {BAD_PAYLOAD}\n",
    )
    assert said(capsys, "check", "--health-check-payload", '{"prompt": "hi"}')[0] == 0


def test_check_says_what_becomes_of_a_bad_payload_where_it_is_let_pass(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the reference's lenience, a worker starts with the default."""
    code, out, err = said(capsys, "check", "--health-check-payload", "[1]", "--lenient-payload")
    assert (code, out) == (0, f"The settings are fine. 2 of {len(TABLE)} are set.\n")
    assert err == f"serinus: warning: {BAD_PAYLOAD}; the default payload is used\n"
