"""`Settings`: frozen, checked, and agreeing with the table."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from serinus.errors import SettingsError
from serinus.settings import TABLE, Settings
from serinus.settings.kinds import Fraction, Kind, Names, Seconds, Text, Truth, Whole, Word

TYPES: dict[type[Kind], object] = {
    Whole: int,
    Fraction: float,
    Seconds: float,
    Truth: bool,
    Names: tuple[str, ...],
}


def test_the_table_has_each_field_in_order() -> None:
    """A field without a row would have no variable and no line in the page."""
    assert list(TABLE) == [field.name for field in dataclasses.fields(Settings)]


@pytest.mark.parametrize("name", list(TABLE))
def test_the_type_of_a_field_is_that_of_its_kind(name: str) -> None:
    """What mypy believes is what the parser returns."""
    hint, kind = get_type_hints(Settings)[name], TABLE[name].kind
    if isinstance(kind, Word):
        assert get_origin(hint) is Literal
        assert get_args(hint) == kind.words
    elif isinstance(kind, Text):
        assert hint in (str, str | None)
    else:
        assert hint == TYPES[type(kind)]


@pytest.mark.parametrize("name", list(TABLE))
def test_a_default_is_accepted_and_of_its_type(name: str) -> None:
    """A default that `load` would refuse would be a trap."""
    row = TABLE[name]
    taken = row.kind.take(row.default)
    assert (taken, type(taken)) == (row.default, type(row.default))


def test_variables_and_flags_are_each_used_once() -> None:
    """Two settings must not listen to one name."""
    variables = [name for row in TABLE.values() for name in row.variables]
    flags = [row.flag for row in TABLE.values() if row.flag]
    assert len(set(variables)) == len(variables)
    assert len({*flags, "--config", "--json", "--all"}) == len(flags) + 3


def test_each_meaning_is_a_sentence() -> None:
    """It stands in `--help` and in the page."""
    for row in TABLE.values():
        assert row.meaning[0].isupper() or row.meaning[0] == "`"
        assert row.meaning.endswith(".")
        assert "|" not in row.meaning + row.kind.accepted  # it would end a cell of the page


def test_secrets_have_no_flag() -> None:
    """A command line can be read by everyone on the machine."""
    secrets = {"status_token", "api_key", "etcd_auth_password"}
    secrets |= {"nats_auth_password", "nats_auth_token", "nats_auth_nkey"}
    assert {row.name for row in TABLE.values() if row.flag is None} == secrets
    assert {row.name for row in TABLE.values() if row.secret} == secrets


def test_settings_are_frozen() -> None:
    """They cross every boundary there is."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().system_port = 1  # type: ignore[misc]
    assert not hasattr(Settings(), "__dict__")


def test_settings_are_values() -> None:
    """They can be compared, kept in sets, copied and sent to another process."""
    settings = Settings(system_port=0, use_endpoint_health_status=("generate",))
    assert settings == pickle.loads(pickle.dumps(settings)) == copy.deepcopy(settings)
    assert len({settings, Settings(), Settings()}) == 2


def test_a_changed_copy_is_checked_too() -> None:
    """`dataclasses.replace` is a way to make settings, and no way around the checks."""
    assert dataclasses.replace(Settings(), canary_wait_time=1).canary_wait_time == 1.0
    with pytest.raises(SettingsError, match=r"^canary_wait_time: 0 is not accepted"):
        dataclasses.replace(Settings(), canary_wait_time=0)


def test_values_are_brought_to_their_types() -> None:
    """An int of seconds becomes a float, a list of names a tuple, `[::]` an address."""
    settings = Settings(
        canary_wait_time=2,
        use_endpoint_health_status=["a"],  # type: ignore[arg-type]
        system_host="[::]",
    )
    assert isinstance(settings.canary_wait_time, float)
    assert settings.use_endpoint_health_status == ("a",)
    assert settings.system_host == "::"
