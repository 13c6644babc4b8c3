"""A bad value stops the start with the variable, the value and what is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.errors import SettingsError
from serinus.settings import TABLE, Settings, load
from tests.settings.samples import BAD, MOMENT, PORT, SPAN, TRUTH

CASES = [(field, accepted, text) for field, (accepted, texts) in BAD.items() for text in texts]


def message_of(field: str, text: str) -> str:
    """What `load` says of a text in the setting's first variable, or, if empty, in its flag."""
    flags = {} if text else {field: text}
    environ = {TABLE[field].variables[0]: text} if text else {}
    with pytest.raises(SettingsError) as caught:
        load(environ=environ, flags=flags, reference_files=())
    return str(caught.value)


def test_every_setting_has_bad_values_in_the_table() -> None:
    """No setting is left out of the tests below."""
    assert set(BAD) == set(TABLE)


@pytest.mark.parametrize(("field", "accepted", "text"), CASES)
def test_a_bad_value_is_named_with_its_variable_and_what_is_accepted(
    field: str, accepted: str, text: str
) -> None:
    """The exact message, for every setting and every bad value of it."""
    row = TABLE[field]
    where = row.variables[0] if text else row.flag
    shown = repr(text) if len(repr(text)) <= 80 else repr(text)[:79] + "…"
    if row.secret:
        shown = "the value (not shown)"
    assert message_of(field, text) == f"{where}: {shown} is not accepted; accepted: {accepted}"


@pytest.mark.parametrize("field", sorted(set(BAD)))
def test_a_wrong_type_is_refused_too(field: str) -> None:
    """Python callers and TOML files get the same strictness as variables."""
    with pytest.raises(SettingsError, match=f"^{field}: .* is not accepted; accepted: "):
        Settings(**{field: {"a": 1}})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [True, float("nan"), float("inf"), 10**400, None])
def test_only_numbers_are_seconds(value: object) -> None:
    """True is not one second, and neither NaN nor infinity is a wait."""
    with pytest.raises(SettingsError, match=r"^canary_wait_time: "):
        Settings(canary_wait_time=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [True, 9090.0, None])
def test_only_whole_numbers_are_ports(value: object) -> None:
    """A bool or a float is no port."""
    with pytest.raises(SettingsError, match=r"^system_port: "):
        Settings(system_port=value)  # type: ignore[arg-type]


def test_all_problems_are_told_at_once() -> None:
    """Nobody has to start five times to find five mistakes."""
    with pytest.raises(SettingsError) as caught:
        load(
            environ={"DYN_SYSTEM_PORT": "abc", "SGLANG_HEALTH_CHECK_TIMEOUT": "-1"},
            flags={"hang_budget": "0", "health_check_enabled": "maybe"},
            reference_files=(),
        )
    assert str(caught.value).splitlines() == [
        "4 settings are wrong:",
        f"  DYN_SYSTEM_PORT: 'abc' is not accepted; accepted: {PORT}",
        f"  --health-check-enabled: 'maybe' is not accepted; accepted: {TRUTH}",
        f"  --hang-budget: '0' is not accepted; accepted: {MOMENT}",
        f"  SGLANG_HEALTH_CHECK_TIMEOUT: '-1' is not accepted; accepted: {SPAN}",
    ]


def test_the_port_of_a_kubernetes_service_is_explained() -> None:
    """A Service named dyn-system sets DYN_SYSTEM_PORT in every pod of its namespace."""
    assert message_of("system_port", "tcp://10.0.0.1:80").endswith(
        "(Kubernetes sets this for a Service of that name: set enableServiceLinks: false)"
    )


def test_a_secret_file_that_is_not_there_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Better no start than a status page that refuses its own token."""
    monkeypatch.chdir(tmp_path)
    path = "token"  # A short one: what a message repeats of a value has a bound.
    assert message_of("status_token_file", path) == (
        f"SERINUS_STATUS_TOKEN_FILE: {path!r} is not accepted; accepted: the path of a file"
        " (it cannot be read: No such file or directory)"
    )


@pytest.mark.parametrize("content", [b"", b"  \n", b"two words", b"\xff\xfe", "ü".encode()])
def test_a_secret_file_without_a_secret_stops_the_start(tmp_path: Path, content: bytes) -> None:
    """The message says what a secret is and shows nothing of what stood there."""
    path = tmp_path / "key"
    path.write_bytes(content)
    assert message_of("api_key_file", str(path)).endswith(
        "(its content (not shown) must be visible ASCII characters without spaces)"
    )


def test_a_secret_file_has_a_bound(tmp_path: Path) -> None:
    """A wrong path, a model's weights say, is not read to its end."""
    path = tmp_path / "weights"
    path.write_bytes(b"x" * 70_000)
    assert message_of("api_key_file", str(path)).endswith("(it is larger than 65536 bytes)")


def test_a_password_in_an_address_is_not_repeated() -> None:
    """It is refused without being shown, and the hint says where it belongs."""
    told = message_of("etcd_endpoints", "http://me:swordfish@host:2379")
    assert "swordfish" not in told
    assert told.startswith("ETCD_ENDPOINTS: the value (not shown) is not accepted")
    assert told.endswith("(user and password have settings of their own)")
