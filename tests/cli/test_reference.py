"""`serinus reference`: right answers into a file, and out of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from serinus.cli.program import main
from tests.cli.programs import program

pytestmark = pytest.mark.end_to_end

QUICK = ("--step", "0.002", "--port", "0")


def test_answers_are_written_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An engine that is right is right; one with other weights under the same name is wrong."""
    path = str(tmp_path / "reference.json")
    with program("sim", *QUICK) as right, program("sim", *QUICK, "--fault", "drift") as other:
        url, another = (one.says(r"(http://127\.0\.0\.1:\d+)") for one in (right, other))
        assert main(["reference", "--url", url, "--write", path]) == 0
        told = capsys.readouterr().out
        assert told.startswith("written: vllm, tiny: 3 prompt(s), 72 token(s), ")
        assert main(["reference", "--url", url, "--check", path]) == 0
        assert capsys.readouterr().out.startswith("right: vllm, tiny: 3 prompt(s)")
        assert main(["reference", "--engine", "auto", "--url", another, "--check", path]) == 1
        assert capsys.readouterr().out.startswith("wrong: vllm, tiny: tokens: token ")
        assert main(["reference", "--engine", "openai", "--url", url, "--check", path]) == 2
        assert "has no answers of openai, tiny; it has those of: vllm, tiny" in (
            capsys.readouterr().out
        )
        assert main(["reference", "--engine", "openai", "--url", url, "--write", path]) == 0
    engines = json.loads(Path(path).read_text())["engines"]
    assert set(engines) == {"vllm, tiny", "openai, tiny"}


def test_an_engine_that_is_wrong_teaches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where that can be seen without a reference."""
    path = tmp_path / "reference.json"
    with program("sim", *QUICK, "--fault", "nan") as sim:
        url = sim.says(r"(http://127\.0\.0\.1:\d+)")
        assert main(["reference", "--url", url, "--write", str(path)]) == 1
    assert "nothing is written" in capsys.readouterr().out
    assert not path.exists()


def test_a_busy_engine_cannot_be_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its answers had company."""
    path = tmp_path / "reference.json"
    with program("sim", *QUICK, "--fault", "saturate=1", "--slots", "4") as sim:
        url = sim.says(r"(http://127\.0\.0\.1:\d+)")
        flags = ("--write", str(path), "--correctness-tokens", "12")
        assert main(["reference", "--url", url, *flags]) == 2
    assert "cannot tell: " in capsys.readouterr().out


def test_what_cannot_be_reached_cannot_be_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a file that is none, or two engines, stop it."""
    path = tmp_path / "reference.json"
    url = "http://127.0.0.1:9"
    assert main(["reference", "--url", url, "--write", str(path)]) == 2
    assert "cannot tell: " in capsys.readouterr().out
    assert main(["reference", "--url", url, "--check", str(path)]) == 2
    assert "it cannot be read" in capsys.readouterr().err
    both = ("--url", url, "--url", "http://127.0.0.1:10")
    assert main(["reference", *both, "--write", str(path)]) == 2
    assert "2 engines are named; accepted: one at a time" in capsys.readouterr().err


def written_by_hand(path: Path, *answers: Mapping[str, object]) -> str:
    """Write a reference for the simulator, a prompt an answer; return the path."""
    prompts = {f"prompt {n}": answer for n, answer in enumerate(answers)}
    engines = {"vllm, tiny": {"tokens": 16, "prompts": prompts}}
    path.write_text(json.dumps({"serinus_reference": 1, "engines": engines}))
    return str(path)


def test_a_near_tie_at_the_first_token_is_no_reason_to_ask_for_ever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others decide; if there are none it cannot be told."""
    other = {"answer": [9] * 16}
    tie = {**other, "margins": [0.0] * 16}
    with program("sim", *QUICK) as sim:
        url = sim.says(r"(http://127\.0\.0\.1:\d+)")
        path = written_by_hand(tmp_path / "one.json", tie, other, other)
        assert main(["reference", "--url", url, "--check", path]) == 1
        assert "not 9 9 9 9 9" in capsys.readouterr().out
        path = written_by_hand(tmp_path / "two.json", tie)
        assert main(["reference", "--url", url, "--check", path]) == 2
        assert "all of them part at a near tie" in capsys.readouterr().out


def test_an_engine_that_says_nothing_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answer without a token is an answer."""
    with program("sim", *QUICK, "--fault", "empty") as sim:
        url = sim.says(r"(http://127\.0\.0\.1:\d+)")
        path = written_by_hand(tmp_path / "reference.json", {"answer": [9] * 16})
        assert main(["reference", "--url", url, "--check", path]) == 1
        assert "empty: no token at all" in capsys.readouterr().out
