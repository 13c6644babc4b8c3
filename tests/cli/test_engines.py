"""`serinus engines`: what is known of each, and the page that is written from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serinus.cli import main
from serinus.engines import ENGINES

COMMITTED = Path(__file__).parents[2] / "docs" / "engines.md"


def test_the_committed_page_is_what_the_engines_say(capsys: pytest.CaptureFixture[str]) -> None:
    """Make it again with `make docs`."""
    assert main(["engines", "--markdown"]) == 0
    assert capsys.readouterr().out == COMMITTED.read_text()


def test_all_of_them_are_told_to_machines(capsys: pytest.CaptureFixture[str]) -> None:
    """Each by its name; seconds are numbers."""
    assert main(["engines", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == [engine.name for engine in ENGINES]
    assert told["sglang"]["health_seconds"] == 1.0
    assert told["sglang"]["abort"].endswith("POST /abort_request")
    assert told["dynamo-worker"]["proves"] is False


def test_one_is_told_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    """One block, every line with its title."""
    assert main(["engines", "llamacpp"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("llamacpp\n")
    assert "moves in the middle of a request  llamacpp:n_decode_total" in said


def test_lines_are_broken_at_spaces_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pipe they stay whole."""
    monkeypatch.setattr("serinus.cli.engines.screen", lambda: 80)
    assert main(["engines"]) == 0
    narrow = capsys.readouterr().out
    assert max(map(len, narrow.splitlines())) <= 80
    monkeypatch.setattr("serinus.cli.engines.screen", lambda: None)
    assert main(["engines"]) == 0
    assert narrow.split() == capsys.readouterr().out.split()


def test_an_unknown_one_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and what is accepted."""
    assert main(["engines", "vlm"]) == 2
    assert "'vlm' is not known; accepted: vllm, sglang," in capsys.readouterr().err
