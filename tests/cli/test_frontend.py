"""`serinus frontend` as people call it."""

from __future__ import annotations

import socket

import pytest

from serinus.cli import main


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """Paths, examples, exit codes, and its settings alone."""
    assert main(["frontend", "--help"]) == 0
    told = capsys.readouterr().out
    for part in ("/v1/models/MODEL/ready", "examples:", "exit codes:", "--http-port", "--file-kv"):
        assert part in told
    assert "--canary-wait-time" not in told
    assert "(default: file)" in told


def test_without_discovery_it_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the setting by its name."""
    assert main(["frontend", "--discovery-backend", "off"]) == 2
    assert "discovery_backend: 'off' is not accepted by a frontend" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    """Exit code 2, the port, and what would do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ["--http-host", "127.0.0.1", "--http-port", port, "--file-kv", str(tmp_path)]
        assert main(["frontend", *words]) == 2
    assert f"http_port: {port}" in capsys.readouterr().err


def test_a_setting_that_cannot_be_read_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """By its flag."""
    assert main(["frontend", "--fleet-panic-threshold", "50%"]) == 2
    told = capsys.readouterr().err
    assert "--fleet-panic-threshold: '50%' is not accepted; accepted: a number from 0 to 1" in told


def test_shares_that_contradict_each_other_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Short comes before panic."""
    assert main(["frontend", "--fleet-minimum-share", "0.3"]) == 2
    assert "--fleet-minimum-share (0.3) is less than" in capsys.readouterr().err
