"""Variables that look like ours and are not bring a warning, and never an error."""

from __future__ import annotations

import pytest

from serinus.errors import SettingsError
from serinus.settings import TABLE, load


def warnings(environ: dict[str, str]) -> tuple[str, ...]:
    """What `load` warns of."""
    return load(environ=environ, reference_files=()).warnings


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("DYN_SYSTEM_PRT", "DYN_SYSTEM_PORT"),
        ("DYN_SYSTEM_STARTING_HEALTH", "DYN_SYSTEM_STARTING_HEALTH_STATUS"),
        ("DYN_HEALTH_CHECK_ENABLE", "DYN_HEALTH_CHECK_ENABLED"),
        ("DYN_CANARY_WAIT_TIME_SECS", "DYN_CANARY_WAIT_TIME"),
        ("DYN_CANARY_WAIT", "DYN_CANARY_WAIT_TIME"),
        ("SERINUS_CONFG", "SERINUS_CONFIG"),
        ("SERINUS_CANARY_WAIT_TIME", "DYN_CANARY_WAIT_TIME"),
    ],
)
def test_a_misspelt_name_brings_the_nearest_one(variable: str, nearest: str) -> None:
    """The reference is silent, and the setting does nothing."""
    assert warnings({variable: "1"}) == (f"{variable}: unknown; did you mean {nearest}?",)


def test_a_name_like_no_other_brings_no_guess() -> None:
    """A wrong guess is worse than none."""
    assert warnings({"SERINUS_Q": "1"}) == ("SERINUS_Q: unknown",)


def test_the_value_of_an_unknown_variable_is_not_shown() -> None:
    """It may be a secret under a misspelt name."""
    assert "hunter2" not in "".join(warnings({"SERINUS_STATUS_TOKN": "hunter2"}))


def test_warnings_are_not_lost_when_the_start_stops() -> None:
    """The misspelt name is often the reason."""
    with pytest.raises(SettingsError) as caught:
        load(
            environ={"SERINUS_STATUS_DETAILS": "token", "SERINUS_STATUS_TOKN": "x"},
            reference_files=(),
        )
    assert caught.value.__notes__ == [
        "SERINUS_STATUS_TOKN: unknown; did you mean SERINUS_STATUS_TOKEN?"
    ]


def test_variables_of_others_are_none_of_our_business() -> None:
    """Dynamo has many that are not about health."""
    environ = {"DYN_HTTP_PORT": "8000", "DYN_RUNTIME_NUM_WORKER_THREADS": "4", "PATH": "/bin"}
    assert warnings(environ) == ()


def test_every_known_variable_is_known() -> None:
    """No setting warns of itself."""
    names = {name for row in TABLE.values() for name in row.variables} | {"SERINUS_CONFIG"}
    assert warnings(dict.fromkeys(names, "")) == ()


def test_the_variables_of_a_kubernetes_service_are_passed_over() -> None:
    """Kubernetes sets seven or so in each pod for a Service named `serinus-status`."""
    names = [
        "SERINUS_STATUS_SERVICE_HOST",
        "SERINUS_STATUS_SERVICE_PORT",
        "SERINUS_STATUS_SERVICE_PORT_HTTP",
        "SERINUS_STATUS_PORT",
        "SERINUS_STATUS_PORT_9090_TCP",
        "SERINUS_STATUS_PORT_9090_TCP_ADDR",
    ]
    assert warnings(dict.fromkeys(names, "x")) == ()
    assert warnings({"SERINUS_STATUS_PORT": "x"}) != ()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            {"DYN_SYSTEM_ENABLED": "true"},
            (
                "DYN_SYSTEM_ENABLED: true is ignored, as in the reference; no port is open: set"
                " DYN_SYSTEM_PORT"
            ),
        ),
        (
            {"DYN_SYSTEM_ENABLED": "true", "DYN_SYSTEM_PORT": "0"},
            "DYN_SYSTEM_ENABLED: true is ignored, as in the reference",
        ),
        (
            {"DYN_SYSTEM_ENABLED": "true", "SERINUS_STATUS_SOCKET": "/s"},
            "DYN_SYSTEM_ENABLED: true is ignored, as in the reference",
        ),
        (
            {"DYN_SYSTEM_ENABLED": "no way"},
            "DYN_SYSTEM_ENABLED: no way is ignored, as in the reference",
        ),
    ],
)
def test_the_switch_that_does_nothing_says_so(environ: dict[str, str], expected: str) -> None:
    """The operator still sets it, and people believe that it opens the port."""
    assert warnings(environ) == (expected,)


@pytest.mark.parametrize("name", ["SGLANG_STARTUP_WAIT_INTERVAL", "SGLANG_MAX_STARTUP_WAIT_TIME"])
def test_the_patience_with_a_start_is_the_startup_probes(name: str) -> None:
    """The reference's monitor of SGLang gives up after a while; none of ours does."""
    assert warnings({name: "600"}) == (
        f"{name} is ignored: an engine may start for as long as the startup probe lets it",
    )
    assert warnings({name: ""}) == ()
