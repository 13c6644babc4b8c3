"""Prompts and right answers in files: what is read, and what is said of what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serinus.core.correctness import LESSONS, Lesson
from serinus.core.transcript import Unit
from serinus.errors import SettingsError
from serinus.runtime.memory import Memory
from serinus.runtime.reference import Reference, Sheet, read_prompts

LESSON = Lesson(5, (7, 9), (-0.5, -0.25), (2.0, 0.125), 0.0625, loops=True, shaky=1)
TEXTS = Lesson(5, ("a", "b"), by=Unit.TEXT, silent=True)
ENGINE = "vllm, tiny"


def written(path: Path) -> Any:
    """Write a reference; return its JSON."""
    Reference({ENGINE: Sheet(2, {"one": LESSON, "two": TEXTS})}).write(str(path))
    return json.loads(path.read_text())


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """All of it, and nothing else is left in the folder."""
    path = tmp_path / "reference.json"
    written(path)
    read = Reference.read(str(path))
    assert read.sheets == {ENGINE: Sheet(2, {"one": LESSON, "two": TEXTS})}
    assert list(tmp_path.iterdir()) == [path]


def test_a_person_may_write_the_answer_alone(tmp_path: Path) -> None:
    """What is left out is not known; the answer is taken for learned."""
    path = tmp_path / "reference.json"
    prompts = {"one": {"answer": [7, 9]}, "two": {"answer": ["a", " b"]}}
    engines = {ENGINE: {"tokens": 2, "prompts": prompts}}
    path.write_text(json.dumps({"serinus_reference": 1, "engines": engines}))
    sheet = Reference.read(str(path)).sheets[ENGINE]
    assert sheet.lessons["one"] == Lesson(LESSONS, (7, 9))
    assert sheet.lessons["two"] == Lesson(LESSONS, ("a", " b"), by=Unit.TEXT)
    assert all(lesson.learned for lesson in sheet.lessons.values())


def changed(**fields: Any) -> Callable[[Any], Any]:
    """Return a change of the first lesson of a file."""

    def change(content: Any) -> Any:
        content["engines"][ENGINE]["prompts"]["one"].update(fields)
        return content

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _: [], "it is no reference"),
        (lambda _: {"serinus_reference": 2}, "it is of version 2, this reads 1"),
        (lambda _: {"serinus_reference": 1}, "'engines' is missing"),
        (lambda told: {**told, "engines": {ENGINE: {"tokens": 2}}}, "'prompts' is missing"),
        (
            lambda told: {**told, "engines": {ENGINE: {"tokens": 0, "prompts": {}}}},
            "0 is no number of tokens up to 4096",
        ),
        (
            lambda told: {**told, "engines": {ENGINE: {"tokens": 2, "prompts": {}}}},
            "0 prompts; accepted: 1 to 64",
        ),
        (changed(answer=[1.5]), "1.5 is neither the id nor the text of a token"),
        (changed(answer=[1] * 5000), "an answer of more than 4096 tokens"),
        (changed(logprobs=[-1.0]), "2 numbers are wanted, one a token"),
        (changed(margins=["x", 1]), "x is no number"),
        (changed(asked=-1), "-1 is no count"),
        (changed(by="words"), "'words' is not a valid Unit"),
        (changed(spread=float("nan")), "nan is no number"),
    ],
)
def test_what_cannot_be_read_is_said(
    tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    """With the file and the reason."""
    path = tmp_path / "reference.json"
    path.write_text(json.dumps(change(written(path))))
    with pytest.raises(SettingsError) as caught:
        Reference.read(str(path))
    assert str(caught.value) == f"{path}: {message}" or message in str(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Also one that is too large, or no JSON."""
    path = tmp_path / "reference.json"
    with pytest.raises(SettingsError, match="it cannot be read: No such file"):
        Reference.read(str(path))
    path.write_text("{")
    with pytest.raises(SettingsError, match=r"reference\.json: "):
        Reference.read(str(path))
    path.write_bytes(b" " * (5 << 20))
    with pytest.raises(SettingsError, match="it has more than 4194304 bytes"):
        Reference.read(str(path))


def test_prompts_are_lines(tmp_path: Path) -> None:
    """Empty ones and comments are none, and twice is once."""
    path = tmp_path / "prompts"
    path.write_text("# a comment\none \n\n two\none \n")
    assert read_prompts(str(path)) == ("one ", " two")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# nothing\n", "it has 0 prompts; accepted: 1 to 64"),
        (b"".join(b"%d\n" % n for n in range(65)), "it has 65 prompts; accepted: 1 to 64"),
        (b"x" * 2001, "a prompt has more than 2000 characters"),
        (b"\xff\xfe", "it cannot be read: it is not UTF-8"),
    ],
)
def test_prompts_that_cannot_be_used_are_said(tmp_path: Path, content: bytes, message: str) -> None:
    """With the file and what is accepted."""
    path = tmp_path / "prompts"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        read_prompts(str(path))
    assert str(caught.value) == f"{path}: {message}"
    with pytest.raises(SettingsError, match="No such file"):
        read_prompts(str(tmp_path / "missing"))


def test_answers_in_the_state_file_outlive_who_does_not_examine(tmp_path: Path) -> None:
    """A start with the policy off must not lose them."""
    from tests.runtime.test_memory import FIRST, LEARNED, NOTHING  # noqa: PLC0415 - its samples

    path, sheet = tmp_path / "state", Sheet(2, {"one": LESSON})
    memory = Memory(path)
    memory.keep([("a.b.c", ENGINE, LEARNED, FIRST, NOTHING, sheet)])
    memory.keep([("a.b.c", ENGINE, LEARNED, FIRST, NOTHING, None)])
    memory.write()
    again = Memory(path)
    again.load()
    known = again.recall("a.b.c", ENGINE)
    assert known is not None
    assert known.sheet == sheet
    again.keep([("a.b.c", "vllm, another", LEARNED, FIRST, NOTHING, None)])
    other = again.recall("a.b.c", "vllm, another")
    assert other is not None
    assert other.sheet is None
