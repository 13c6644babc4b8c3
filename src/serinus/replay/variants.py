"""Other settings, as they are written on the command line, and as they are set for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from serinus.core.rules import Rules
from serinus.errors import SettingsError, excerpt
from serinus.settings import TABLE
from serinus.settings.kinds import RefusedError
from serinus.settings.table import Setting

__all__ = ["RULES", "Variant", "as_variables", "read_variant"]

RULES: Mapping[str, str] = {
    "wait": "canary_wait_time",
    "deadline": "health_check_request_timeout",
    "stall": "health_check_busy_stall",
    "hang": "hang_budget",
    "excuse": "excuse_budget",
    "failure_threshold": "failure_threshold",
    "success_threshold": "success_threshold",
    "jitter": "canary_jitter",
    "budget": "canary_budget",
    "token_budget": "canary_token_budget",
}
"""The setting behind each rule."""


class Variant(NamedTuple):
    """Values of rules to be tried, in place of the recorded ones."""

    name: str
    values: Mapping[str, float | int]

    def change(self, rules: Rules) -> Rules:
        """Apply them."""
        return Rules(**{**rules._asdict(), **self.values})


def read_variant(text: str) -> Variant:
    """Read `wait=2,deadline=1`; keys are rules, settings or their variables.

    Raises SettingsError for a key that is none of a rule, or a value that is not accepted.

    >>> read_variant("wait=2s, DYN_HEALTH_CHECK_REQUEST_TIMEOUT=500ms").values
    {'wait': 2.0, 'deadline': 0.5}
    """
    values: dict[str, float | int] = {}
    for part in text.split(","):
        key, equals, value = part.strip().partition("=")
        rule = _rules_by_key().get(key.strip())
        if not equals or rule is None:
            shown = excerpt(part.strip(), limit=60)
            raise SettingsError(
                f"--set '{shown}': accepted: RULE=VALUE, the rule being one of "
                f"{', '.join(RULES)}, or the name of its setting or variable"
            )
        values[rule] = _taken(rule, value.strip(), called=f"--set {key.strip()}")
    return Variant(text.strip(), values)


def as_variables(rules: Mapping[str, float | int]) -> list[str]:
    """Write rules as variables to be pasted: `DYN_CANARY_WAIT_TIME=2s`."""
    return [f"{_row(rule).variables[0]}={_row(rule).show(value)}" for rule, value in rules.items()]


def _taken(rule: str, value: str, *, called: str) -> float | int:
    row = _row(rule)
    try:
        taken = row.kind.read(value)
    except RefusedError:
        shown = excerpt(value, limit=60)
        raise SettingsError(
            f"{called}: '{shown}' is not accepted; accepted: {row.kind.accepted}"
        ) from None
    assert isinstance(taken, float | int)
    return taken


def _row(rule: str) -> Setting:
    return TABLE[RULES[rule]]


def _rules_by_key() -> dict[str, str]:
    keys: dict[str, str] = {}
    for rule, field in RULES.items():
        for key in (rule, field, *TABLE[field].variables):
            keys[key] = rule
    return keys
