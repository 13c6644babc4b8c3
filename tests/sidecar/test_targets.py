"""Which engines are watched, and what they are called."""

from __future__ import annotations

import pytest

from serinus.errors import SettingsError
from serinus.sidecar.targets import read_targets

NAMES = "accepted: NAME=URL, NAME being a word of letters, digits, '-' and '_', or a whole address"


def test_engines_without_a_name_go_by_their_kind() -> None:
    """One is `generate` to a probe; several are told apart by their whole addresses."""
    targets = read_targets(urls=["http://a:1", "http://b:1", "http://c:1"], engine="OpenAI")
    assert [str(one.address) for one in targets] == [
        "serinus.openai.generate",
        "serinus.openai-2.generate",
        "serinus.openai-3.generate",
    ]
    assert {one.engine.name for one in targets} == {"openai"}


def test_engines_with_a_name_go_by_it() -> None:
    """A word, or a whole address to match a fleet's."""
    targets = read_targets(named=["left=http://a:1", "ns.backend.generate=http://b:1/v1"])
    assert [(str(one.address), str(one.place)) for one in targets] == [
        ("serinus.left.generate", "http://a:1"),
        ("ns.backend.generate", "http://b:1"),
    ]


@pytest.mark.parametrize(
    ("urls", "named", "message"),
    [
        (
            [],
            [],
            (
                "no engine to watch; accepted: --url http://HOST:PORT, or --target NAME=URL "
                "for several"
            ),
        ),
        ([], ["http://a:1"], f"--target: 'http://a:1' has no name; {NAMES}"),
        ([], ["http://a:1/x=y"], f"--target: 'http://a:1/x=y' has no name; {NAMES}"),
        ([], ["http://u:p@a:1"], f"--target: the text (not shown) has no name; {NAMES}"),
        ([], ["=http://a:1"], f"--target: the name '' is not accepted; {NAMES}"),
        ([], ["a b=http://a:1"], f"--target: the name 'a b' is not accepted; {NAMES}"),
        ([], ["a.b=http://a:1"], f"--target: the name 'a.b' is not accepted; {NAMES}"),
        (
            [],
            ["a=a:1"],
            (
                "--target a: 'a:1' is not accepted; accepted: http://HOST:PORT or "
                "https://HOST:PORT, with a path before /v1 if there is one"
            ),
        ),
        (
            [],
            ["a:strict=http://a:1"],
            (
                "--target a: the degraded policy 'strict' is not accepted; "
                "accepted: a:report=URL or a:notready=URL"
            ),
        ),
        (
            [],
            ["a:=http://a:1"],
            (
                "--target a: the degraded policy '' is not accepted; "
                "accepted: a:report=URL or a:notready=URL"
            ),
        ),
        (
            [],
            ["me:secret@a=http://a:1"],
            (
                "--target me: the degraded policy (not shown) is not accepted; "
                "accepted: me:report=URL or me:notready=URL"
            ),
        ),
        ([], [":report=http://a:1"], f"--target: the name '' is not accepted; {NAMES}"),
        (
            [],
            ["a=http://a:1", "a:report=http://b:1"],
            "--target: two engines are called serinus.a.generate; accepted: a name for each",
        ),
        (
            [],
            ["a=http://a:1", "a=http://b:1"],
            "--target: two engines are called serinus.a.generate; accepted: a name for each",
        ),
        (
            ["http://a:1"],
            ["a=http://a:1/v1"],
            (
                "http://a:1 is watched as serinus.vllm.generate and as serinus.a.generate; "
                "accepted: once"
            ),
        ),
    ],
)
def test_what_cannot_be_watched_is_said(urls: list[str], named: list[str], message: str) -> None:
    """Before anything starts."""
    with pytest.raises(SettingsError) as raised:
        read_targets(urls=urls, named=named)
    assert str(raised.value) == message


def test_a_policy_of_its_own_stands_behind_the_name() -> None:
    """Where none does, the settings' holds; it is no part of the address."""
    named = ["a=http://a:1", "b:report=http://b:1", "c : notready=http://c:1/x=y"]
    targets = read_targets(urls=["http://d:1"], named=named)
    assert [(one.address.component, one.degraded_policy) for one in targets] == [
        ("vllm", None),
        ("a", None),
        ("b", "report"),
        ("c", "notready"),
    ]


def test_an_unknown_engine_is_said() -> None:
    """With the nearest known one."""
    with pytest.raises(SettingsError, match="did you mean vllm"):
        read_targets(urls=["http://a:1"], engine="vlm")


def test_names_are_in_the_namespace_that_is_set() -> None:
    """Whole addresses keep their own."""
    named = ["b=http://b:1", "other.c.generate=http://c:1"]
    targets = read_targets(urls=["http://a:1"], named=named, namespace="prod")
    assert [str(one.address) for one in targets] == [
        "prod.vllm.generate",
        "prod.b.generate",
        "other.c.generate",
    ]
