"""`main`: verbs, errors as messages, exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version

import pytest

from serinus.cli import main, program
from serinus.cli.logs import log_to_stderr
from serinus.cli.verbs import VERBS, Verb, VerbModule
from serinus.errors import EngineError, SettingsError


class FakeVerb:
    """A verb whose `run` does what the test says."""

    def __init__(self, run: Callable[[argparse.Namespace], int]) -> None:
        self.run = run

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take one option."""
        parser.add_argument("--word", default="none")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[argparse.Namespace], int]], None]:
    """Put a verb `fake` in the list, with the given `run`."""

    def put(run: Callable[[argparse.Namespace], int]) -> None:
        module: VerbModule = FakeVerb(run)

        class Fake(Verb):
            def load(self) -> VerbModule:
                return module

        monkeypatch.setattr(program, "VERBS", (*VERBS, Fake("fake", "", "Do nothing.")))

    return put


def test_a_verb_gets_its_arguments_and_its_code_is_the_exit_code(
    fake: Callable[..., None],
) -> None:
    """0, 1 and 2 mean what the verb says they mean."""
    seen = []

    def run(arguments: argparse.Namespace) -> int:
        seen.append(arguments.word)
        return 1

    fake(run)
    assert main(["fake", "--word", "x"]) == 1
    assert seen == ["x"]


@pytest.mark.parametrize("error", [SettingsError("a: wrong"), EngineError("status 500")])
def test_our_errors_become_one_message_and_code_2(
    fake: Callable[..., None], capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    """No traceback for what the user can put right."""

    def run(_: argparse.Namespace) -> int:
        raise error

    fake(run)
    assert main(["fake"]) == 2
    assert capsys.readouterr() == ("", f"serinus: error: {error}\n")


def test_the_notes_of_an_error_are_warnings(
    fake: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt variable is often the reason of the error after it."""

    def run(_: argparse.Namespace) -> int:
        error = SettingsError("a: wrong")
        error.add_note("b: unknown")
        raise error

    fake(run)
    assert main(["fake"]) == 2
    assert capsys.readouterr().err == "serinus: warning: b: unknown\nserinus: error: a: wrong\n"


def test_other_errors_are_ours_and_keep_their_traceback(fake: Callable[..., None]) -> None:
    """A bug must not look like a user's mistake."""

    def run(_: argparse.Namespace) -> int:
        raise ZeroDivisionError

    fake(run)
    with pytest.raises(ZeroDivisionError):
        main(["fake"])


def test_the_keyboard_ends_it_with_code_130(fake: Callable[..., None]) -> None:
    """As the shell says it of SIGINT."""

    def run(_: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    fake(run)
    assert main(["fake"]) == 130


def test_help_lists_every_verb_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """The first thing that anyone types."""
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for verb in VERBS:
        assert verb.name in out
        assert verb.summary.split()[0] in out
    assert "exit codes: 0 done" in out


def test_no_verb_teaches_and_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """A script that forgot the verb must notice; a person gets the help."""
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "verbs:" in captured.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["confg"], "invalid choice: 'confg'"),
        (["--verbose"], "the following arguments are required: VERB"),
        (["config"], "the following arguments are required: ACTION"),
        (["config", "show", "--jso"], "unrecognized arguments: --jso; did you mean --json?"),
        (
            ["config", "show", "--qqq=1"],
            "arguments: --qqq; accepted: those of serinus config --help",
        ),
        (["config", "show", "it", "now"], "unrecognized arguments: it now"),
    ],
)
def test_a_wrong_command_line_is_code_2(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    """And options are never guessed from their beginnings."""
    assert main(argv) == 2
    assert message in capsys.readouterr().err


def test_version_says_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    """`serinus --version` for bug reports."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"serinus {version('serinus')}\n"


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_each_verb_keeps_the_protocol(verb: Verb) -> None:
    """Its module exists and has the two functions, and its summary is one sentence."""
    module = verb.load()
    module.add_arguments(argparse.ArgumentParser())
    assert callable(module.run)
    assert verb.summary.endswith(".")
    assert verb.module == f"serinus.cli.{verb.name}"


def quiet(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, *argv], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.end_to_end
def test_the_module_is_the_command() -> None:
    """`python -m serinus` where nothing is on the path."""
    run = quiet("-m", "serinus", "--version")
    assert (run.returncode, run.stdout) == (0, f"serinus {version('serinus')}\n")


@pytest.mark.end_to_end
def test_help_imports_no_verb_and_no_settings() -> None:
    """So that `--help`, and a probe run every second, are quick."""
    code = "import sys, serinus.cli as c; c.main(['--help']); print(*sys.modules, file=sys.stderr)"
    loaded = quiet("-c", code).stderr.split()
    assert "serinus.cli.program" in loaded
    assert {"serinus.settings", "asyncio", "json", "importlib.metadata"}.isdisjoint(loaded)


@pytest.mark.end_to_end
def test_a_reader_that_leaves_early_is_no_error() -> None:
    """`serinus config docs | head -1` prints no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        run = subprocess.run(
            [sys.executable, "-m", "serinus", "config", "docs"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (run.returncode, run.stderr) == (141, b"")


def test_a_line_of_the_log_leaves_the_record_as_it_was(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Small letters are for this line: other handlers of the same record see what was logged."""
    log_to_stderr()
    logging.getLogger().addHandler(caplog.handler)
    logging.getLogger("serinus").warning("the text")
    assert capsys.readouterr().err.endswith("Z warning the text\n")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
