"""`serinus simulate`: what it prints, and that it is the same each time."""

from __future__ import annotations

import json

import pytest

from serinus.cli import main
from serinus.core.verdict import Standing

WORLD = ("simulate", "--hours", "0.5", "--engines", "2")


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run it; what it printed, and what it complained of."""
    assert main([*WORLD, *arguments]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_three_judges_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    """With what each saw and whom it accused."""
    out, err = said(capsys, "--seeds", "2")
    assert out.split("\n")[0].split() == ["serinus", "reference", "health"]
    for row in ("seen after, median", "never seen", "false alarms", "canaries an hour"):
        assert row in out
    assert err == ""


def test_the_same_seed_prints_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole history of it, byte for byte."""
    first, _ = said(capsys, "--seed", "5", "--trace")
    again, _ = said(capsys, "--seed", "5", "--trace")
    assert first == again
    assert "==> ready: canary" in first


def test_worlds_side_by_side_print_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """However many processes there are, what they found is in the order of the seeds."""
    few, none = said(capsys, "--seeds", "5", "--trace", "--judge", "serinus")
    many, silence = said(capsys, "--seeds", "5", "--trace", "--judge", "serinus", "--jobs", "3")
    assert many == few
    assert none == silence == ""


def test_json_is_for_machines_and_settings_count(capsys: pytest.CaptureFixture[str]) -> None:
    """A shorter wait means more canaries."""

    def canaries(*change: str) -> int:
        out, _ = said(capsys, "--judge", "serinus", "--faults", "none", "--json", *change)
        count: int = json.loads(out)["judges"]["serinus"]["canaries"]
        return count

    assert canaries("--set", "canary_wait_time=2s") > 2 * canaries()


def test_a_broken_promise_prints_the_command_that_replays_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends with 1."""
    monkeypatch.setattr(Standing, "busy", property(lambda _self: False))
    out, err = said(capsys, "--seeds", "4", "--faults", "saturation,long-prefill", code=1)
    assert "the_well_are_ready: not ready" in err
    assert "replay: serinus simulate --seed " in err
    assert err.count("--trace") >= 1
    assert "false alarms" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--seeds", "0"), "--seeds '0': accepted: a whole number from 1 to 1e+06"),
        (("--jobs", "0"), "--jobs '0': accepted: a whole number from 1 to 256"),
        (("--hours", "x"), "--hours 'x': accepted: a number from 0.1 to 1000"),
        (("--set", "wait=1"), "--set 'wait=1': accepted: SETTING=VALUE"),
        (("--faults", "hnag"), "--faults: 'hnag' is not known"),
    ],
)
def test_what_cannot_be_read_is_named(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what is accepted."""
    _, err = said(capsys, *arguments, code=2)
    assert complaint in err
