"""Other settings, as people write them."""

from __future__ import annotations

import pytest

from serinus.core.rules import Rules
from serinus.errors import SettingsError
from serinus.replay.variants import RULES, as_variables, read_variant
from serinus.runtime.board import rules_of
from serinus.settings import TABLE, Settings, load

NO_SETTINGS = {"beside", "doubt", "on_top", "ranks", "turn"}
"""Rules that no setting gives: those that are learned, and a rank's place among the others."""


def test_every_rule_has_its_setting() -> None:
    """So that a rule that is added can be tried, and is printed as a variable."""
    assert set(RULES) == set(Rules._fields) - NO_SETTINGS
    assert set(RULES.values()) <= set(TABLE)


def test_a_rule_and_its_setting_are_the_same_thing() -> None:
    """What is pasted has the effect that was replayed."""
    values = {"wait": 2.5, "deadline": 0.75, "stall": 45.0, "hang": 90.0, "excuse": 25.0}
    others = {
        "failure_threshold": 3,
        "success_threshold": 2,
        "jitter": 0.25,
        "budget": 500,
        "token_budget": 900,
    }
    chosen = values | others
    assert set(chosen) == set(RULES)
    variables = dict(line.split("=") for line in as_variables(chosen))
    settings = load(environ=variables, reference_files=()).settings
    rules = rules_of(settings)._asdict()
    assert {name: value for name, value in rules.items() if name not in NO_SETTINGS} == chosen


def test_keys_are_rules_settings_or_variables() -> None:
    """Whatever somebody has at hand; values as the settings take them."""
    variant = read_variant(
        "wait=2s, health_check_request_timeout=0.5,DYN_HEALTH_CHECK_BUSY_STALL=1m"
    )
    assert variant.values == {"wait": 2.0, "deadline": 0.5, "stall": 60.0}
    assert variant.change(Rules(hang=7)) == Rules(wait=2, deadline=0.5, stall=60, hang=7)
    assert read_variant("failure_threshold=3").change(Rules()).failure_threshold == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--set '': accepted: RULE=VALUE, the rule being one of wait, deadline, stall"),
        ("wait", "--set 'wait': accepted: RULE=VALUE"),
        ("speed=3", "--set 'speed=3': accepted: RULE=VALUE"),
        ("wait=soon", "--set wait: 'soon' is not accepted; accepted: seconds from 0.001"),
        ("wait=1,failure_threshold=0", "'0' is not accepted; accepted: a whole number from 1"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, message: str) -> None:
    """With what is accepted."""
    with pytest.raises(SettingsError) as error:
        read_variant(text)
    assert message in str(error.value)


def test_defaults_are_those_of_the_settings() -> None:
    """A trace without rules is judged by them."""
    assert rules_of(Settings()) == Rules()
