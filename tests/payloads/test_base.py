from __future__ import annotations

from typing import Any, ClassVar

import pytest

from serinus.errors import SettingsError
from serinus.payloads import HEALTH_CHECK_KEY, HealthCheckPayload, is_health_check
from serinus.settings import Settings


class DefaultFirst(HealthCheckPayload):
    """The reference's way: the default, then the base."""

    def __init__(self, environ: dict[str, str] | None = None) -> None:
        self.default_payload = {"prompt": "ping", "nested": {"n": 1}}
        super().__init__(environ=environ or {})


class DefaultLast(HealthCheckPayload):
    """The other way round."""

    def __init__(self, environ: dict[str, str] | None = None) -> None:
        super().__init__(environ=environ or {})
        self.default_payload = {"prompt": "ping", "nested": {"n": 1}}


class DefaultInClass(HealthCheckPayload):
    """No constructor at all."""

    default_payload: ClassVar[dict[str, Any]] = {"prompt": "ping", "nested": {"n": 1}}  # type: ignore[misc]


EXPECTED = {"prompt": "ping", "nested": {"n": 1}, "_HEALTH_CHECK": True}


def test_a_subclass_may_set_its_default_before_after_or_in_the_class() -> None:
    """However a subclass says its default, that is what is sent, with the marker."""
    payloads = [DefaultFirst(), DefaultLast(), DefaultInClass(environ={})]
    assert [payload.to_dict() for payload in payloads] == [EXPECTED] * 3


def test_the_override_is_read_from_the_process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a stand-in, the real variable counts."""
    monkeypatch.setenv("DYN_HEALTH_CHECK_PAYLOAD", '{"prompt": "mine"}')
    assert DefaultInClass().to_dict() == {"prompt": "mine", "_HEALTH_CHECK": True}


@pytest.mark.parametrize("subclass", [DefaultFirst, DefaultLast])
def test_an_override_replaces_the_default_whole(
    subclass: type[DefaultFirst] | type[DefaultLast],
) -> None:
    """Nothing of the default is mixed into the owner's payload."""
    override = {"DYN_HEALTH_CHECK_PAYLOAD": '{"token_ids": [3]}'}
    assert subclass(override).to_dict() == {"token_ids": [3], "_HEALTH_CHECK": True}


@pytest.mark.parametrize("value", ["false", '"yes"', "null", "1"])
def test_the_marker_is_laid_over_an_override_too(value: str) -> None:
    """An override cannot take the marker away, so that a handler always knows a canary."""
    override = {"DYN_HEALTH_CHECK_PAYLOAD": '{"_HEALTH_CHECK": ' + value + "}"}
    assert DefaultFirst(override).to_dict() == {"_HEALTH_CHECK": True}


def test_every_dict_is_fresh() -> None:
    """A handler that changes its request changes no later canary."""
    payload = DefaultFirst()
    first = payload.to_dict()
    first["nested"]["n"] = 2
    first["extra"] = 1
    assert payload.to_dict() == EXPECTED


def test_an_override_is_fresh_too() -> None:
    """The same holds for the owner's payload."""
    payload = DefaultFirst({"DYN_HEALTH_CHECK_PAYLOAD": '{"a": [1]}'})
    payload.to_dict()["a"].append(2)
    assert payload.to_dict()["a"] == [1]


def test_an_empty_override_means_the_default() -> None:
    """For the classic backends `{}` falls back to the default, as in the reference."""
    assert DefaultFirst({"DYN_HEALTH_CHECK_PAYLOAD": "{}"}).to_dict() == EXPECTED


def test_a_class_without_a_default_says_what_to_set() -> None:
    """A forgotten default is an error that names the class, not an empty canary."""

    class Forgotten(HealthCheckPayload):
        pass

    with pytest.raises(SettingsError) as raised:
        Forgotten(environ={}).to_dict()
    assert str(raised.value) == (
        "Forgotten.default_payload: None is not a payload; "
        "accepted: a dict, set in the class or in __init__"
    )


def test_a_class_without_a_default_can_be_given_one_by_its_owner() -> None:
    """An override needs no default beneath it."""

    class Forgotten(HealthCheckPayload):
        pass

    payload = Forgotten(environ={"DYN_HEALTH_CHECK_PAYLOAD": '{"a": 1}'})
    assert payload.to_dict() == {"a": 1, "_HEALTH_CHECK": True}


def test_a_subclass_that_never_calls_the_base_still_has_its_default() -> None:
    """A forgotten super().__init__() costs the override, never the canary."""

    class NoSuper(HealthCheckPayload):
        def __init__(self) -> None:
            self.default_payload = {"a": 1}

    assert NoSuper().to_dict() == {"a": 1, "_HEALTH_CHECK": True}


@pytest.mark.parametrize("request_", [None, 3, "x", {}, {HEALTH_CHECK_KEY: 1}, [HEALTH_CHECK_KEY]])
def test_only_the_exact_marker_makes_a_canary(request_: object) -> None:
    """The value must be exactly True: 1 and "true" come from users, not from us."""
    assert not is_health_check(request_)
    assert is_health_check({HEALTH_CHECK_KEY: True})


def test_the_settings_payload_wins_wherever_it_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A flag or a file reaches a payload as the variable does, and over it."""
    monkeypatch.setenv("DYN_HEALTH_CHECK_PAYLOAD", '{"from": "environment"}')
    settings = Settings(health_check_payload='{"from": "flag"}')
    assert DefaultFirst().under(settings) == {"from": "flag", HEALTH_CHECK_KEY: True}


def test_without_one_in_the_settings_the_payload_is_its_own() -> None:
    """Settings that say nothing change nothing."""
    assert DefaultFirst().under(Settings()) == DefaultFirst().to_dict()


def test_a_lenient_setting_forgives_a_bad_override(caplog: pytest.LogCaptureFixture) -> None:
    """The lenient form of the settings warns and takes the default."""
    settings = Settings(health_check_payload="[1]", lenient_payload=True)
    assert DefaultFirst().under(settings) == DefaultFirst().to_dict()
    assert "the default payload is used" in caplog.text


def test_a_bad_override_in_the_settings_is_an_error() -> None:
    """It is never dropped in silence."""
    with pytest.raises(SettingsError, match="holds an array"):
        DefaultFirst().under(Settings(health_check_payload="[1]"))
