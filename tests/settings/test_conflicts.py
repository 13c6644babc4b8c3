"""Values that are each accepted and do not go together."""

from __future__ import annotations

import pytest

from serinus.core.budget import LEAST
from serinus.errors import SettingsError
from serinus.settings import Settings, load
from serinus.settings.conflicts import LEAST_BUDGET

CASES = [
    (
        {"DYN_SYSTEM_HEALTH_PATH": "/live"},
        (
            "DYN_SYSTEM_HEALTH_PATH and DYN_SYSTEM_LIVE_PATH are both /live; accepted: two"
            " different paths"
        ),
    ),
    (
        {"DYN_SYSTEM_HEALTH_PATH": "/{x}", "DYN_RUNTIME_SYSTEM_LIVE_PATH": "/{x}"},
        (
            "DYN_SYSTEM_HEALTH_PATH and DYN_RUNTIME_SYSTEM_LIVE_PATH are both /{x}; accepted: two"
            " different paths"
        ),
    ),
    (
        {"DYN_SYSTEM_LIVE_PATH": "/metrics"},
        "DYN_SYSTEM_LIVE_PATH is /metrics, where the metrics are; accepted: another",
    ),
    (
        {"SERINUS_STATUS_SOCKET": "/run/s.sock", "DYN_SYSTEM_PORT": "0"},
        (
            "SERINUS_STATUS_SOCKET and DYN_SYSTEM_PORT are both set; accepted: a unix socket or a"
            " port, not both"
        ),
    ),
    (
        {"SERINUS_LOOP_BUDGET": "1", "SERINUS_LOOP_STALL": "2.5"},
        (
            "SERINUS_LOOP_BUDGET (1 s) is less than SERINUS_LOOP_STALL (2.5 s); accepted: at"
            " least as long, as not live comes after not ready"
        ),
    ),
    (
        {"SERINUS_CANARY_TOKEN_BUDGET": "99"},
        (
            "SERINUS_CANARY_TOKEN_BUDGET is 99; accepted: 0 (no bound), or at least 100 a day, as"
            " an endpoint must be asked now and then"
        ),
    ),
    (
        {"SERINUS_CORRECTNESS_PROMPTS": "p", "SERINUS_CORRECTNESS_REFERENCE": "r"},
        (
            "SERINUS_CORRECTNESS_PROMPTS and SERINUS_CORRECTNESS_REFERENCE are both set; accepted:"
            " one of them, as a reference has its own prompts"
        ),
    ),
    (
        {"SERINUS_STATUS_DETAILS": "token"},
        (
            "SERINUS_STATUS_DETAILS is token, and there is none; accepted: set"
            " SERINUS_STATUS_TOKEN or SERINUS_STATUS_TOKEN_FILE"
        ),
    ),
]


@pytest.mark.parametrize(("environ", "message"), CASES)
def test_a_clash_names_the_variables_that_were_set(environ: dict[str, str], message: str) -> None:
    """The names are the reader's own: the variables, not our fields."""
    with pytest.raises(SettingsError) as caught:
        load(environ=environ, reference_files=())
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["status_token", "api_key"])
def test_a_secret_stands_in_one_place(name: str) -> None:
    """With two, one of them would be silently out of date."""
    with pytest.raises(SettingsError) as caught:
        Settings(**{name: "secret", f"{name}_file": "/run/secret"})  # type: ignore[arg-type]
    assert str(caught.value) == f"{name} and {name}_file are both set; accepted: one of them"


def test_flags_are_named_as_flags() -> None:
    """A clash of a flag with a variable names each as it was written."""
    with pytest.raises(SettingsError, match=r"^SERINUS_STATUS_SOCKET and --port are both set"):
        load(
            flags={"system_port": "1"}, environ={"SERINUS_STATUS_SOCKET": "/s"}, reference_files=()
        )


def test_python_callers_see_the_fields() -> None:
    """Who builds Settings in code knows the fields."""
    with pytest.raises(SettingsError, match=r"^loop_budget \(1 s\) is less than loop_stall \(5 s"):
        Settings(loop_budget=1)


def test_a_value_that_is_wrong_by_itself_makes_no_clash() -> None:
    """One mistake, one line: the default that stands in for a bad value is nobody's choice."""
    with pytest.raises(SettingsError) as caught:
        load(environ={"SERINUS_LOOP_BUDGET": "x", "SERINUS_LOOP_STALL": "90"}, reference_files=())
    assert "less than" not in str(caught.value)


def test_clashes_stand_beside_other_problems() -> None:
    """Both kinds of mistake are told at once."""
    with pytest.raises(SettingsError) as caught:
        load(
            environ={"DYN_SYSTEM_LIVE_PATH": "/health", "DYN_SYSTEM_PORT": "x"}, reference_files=()
        )
    assert [line.split(" ")[2] for line in str(caught.value).splitlines()] == [
        "are",
        "DYN_SYSTEM_PORT:",
        "DYN_SYSTEM_HEALTH_PATH",
    ]


def test_equal_budgets_are_fine() -> None:
    """Not live at the very moment of not ready is a choice that somebody may make."""
    assert Settings(loop_stall=5, loop_budget=5).loop_budget == 5.0


def test_the_least_budget_is_the_judges_own() -> None:
    """Settings do not import the judge."""
    assert LEAST_BUDGET == LEAST
    assert Settings(canary_budget=LEAST, canary_token_budget=0).canary_budget == LEAST
