"""Flags over environment over files over what a program takes over the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.errors import SettingsError
from serinus.settings import TABLE, Loaded, Settings, load
from tests.settings.samples import GOOD

VARIABLES = [(name, variable) for name, row in TABLE.items() for variable in row.variables]


def loaded(
    environ: dict[str, str] | None = None,
    flags: dict[str, object] | None = None,
    *,
    defaults: dict[str, object] | None = None,
    file: Path | None = None,
    reference_files: tuple[str, ...] = (),
) -> Loaded:
    """`load` with nothing of the machine it runs on."""
    return load(
        environ=environ or {},
        flags=flags,
        defaults=defaults,
        file=file,
        reference_files=reference_files,
    )


def test_nothing_set_gives_the_defaults() -> None:
    """Settings() and an empty environment are the same."""
    result = loaded()
    assert result.settings == Settings()
    assert set(result.origins.values()) == {"default"}
    assert result.warnings == ()


def test_every_setting_has_a_good_value_in_the_samples() -> None:
    """No setting is left out of the tests below."""
    assert set(GOOD) == set(TABLE)


@pytest.mark.parametrize(("name", "variable"), VARIABLES)
def test_each_variable_sets_its_setting_and_is_named_as_its_origin(
    name: str, variable: str
) -> None:
    """Aliases and `DYN_RUNTIME_…` names work alone, and the origin says which it was."""
    text, value = GOOD[name]
    result = loaded({variable: f" {text}\n"})
    assert getattr(result.settings, name) == value
    assert result.origins[name] == f"environment {variable}"
    assert [n for n, origin in result.origins.items() if origin != "default"] == [name]


@pytest.mark.parametrize("name", [n for n, row in TABLE.items() if len(row.variables) > 1])
def test_the_first_of_several_variables_wins(name: str) -> None:
    """The rest are not even looked at: the reference does not, either."""
    first, *others = TABLE[name].variables
    result = loaded({first: GOOD[name][0]} | dict.fromkeys(others, "\x00 not a value"))
    assert getattr(result.settings, name) == GOOD[name][1]
    assert result.origins[name] == f"environment {first}"


@pytest.mark.parametrize(("name", "variable"), VARIABLES)
@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_variable_is_one_that_is_not_set(name: str, variable: str, empty: str) -> None:
    """As in the reference: manifests set variables to nothing."""
    assert loaded({variable: empty}).origins[name] == "default"


@pytest.mark.parametrize("name", [n for n, row in TABLE.items() if row.flag])
def test_each_flag_wins_over_its_variable(name: str) -> None:
    """Who types a flag means it."""
    row = TABLE[name]
    result = loaded({row.variables[0]: "\x00 not a value"}, {name: GOOD[name][0]})
    assert getattr(result.settings, name) == GOOD[name][1]
    assert result.origins[name] == f"flag {row.flag}"


def test_a_flag_that_was_not_given_is_none() -> None:
    """The argument parser hands over every flag; None means that nobody typed it."""
    assert loaded(flags=dict.fromkeys(TABLE)).settings == Settings()


def test_a_negated_flag_is_named_as_it_was_typed() -> None:
    """`--no-lenient-payload` is what stands on the command line."""
    result = loaded({"SERINUS_LENIENT_PAYLOAD": "true"}, {"lenient_payload": False})
    assert result.settings.lenient_payload is False
    assert result.origins["lenient_payload"] == "flag --no-lenient-payload"


def test_each_layer_gives_way_to_the_one_above(tmp_path: Path) -> None:
    """The whole order, one layer taken away at a time."""
    ours, theirs, oldest = tmp_path / "s.toml", tmp_path / "etc.toml", tmp_path / "defaults.toml"
    ours.write_text("canary_wait_time = 3\n")
    theirs.write_text("canary_wait_time_secs = 4\n")
    oldest.write_text("canary_wait_time_secs = 5\n")
    environ = {"DYN_CANARY_WAIT_TIME": "2", "SERINUS_CONFIG": str(ours)}
    flags: dict[str, object] = {"canary_wait_time": "1"}
    both = (str(theirs), str(oldest))

    def seen(result: Loaded) -> tuple[float, str]:
        return result.settings.canary_wait_time, result.origins["canary_wait_time"]

    taken: dict[str, object] = {"canary_wait_time": 6.0}
    all_of = loaded(environ, flags, defaults=taken, reference_files=both)
    assert seen(all_of) == (1, "flag --canary-wait-time")
    no_flag = loaded(environ, defaults=taken, reference_files=both)
    assert seen(no_flag) == (2, "environment DYN_CANARY_WAIT_TIME")
    no_variable = loaded(file=ours, defaults=taken, reference_files=both)
    assert seen(no_variable) == (3, f"file {ours}")
    no_file = loaded(defaults=taken, reference_files=both)
    assert seen(no_file) == (4, f"file {theirs}")
    no_etc = loaded(defaults=taken, reference_files=(str(tmp_path / "none"), str(oldest)))
    assert seen(no_etc) == (5, f"file {oldest}")
    assert seen(loaded(defaults=taken)) == (6, "default of the program")
    assert seen(loaded()) == (10, "default")


def test_a_programs_port_gives_way_to_a_persons_socket() -> None:
    """The sidecar's own 9090 must not clash with the socket that somebody asked for."""
    result = loaded({"SERINUS_STATUS_SOCKET": "/run/s.sock"}, defaults={"system_port": 9090})
    assert result.settings.system_port == -1
    assert result.origins["system_port"] == "default"


@pytest.mark.parametrize("kind", ["flags", "defaults"])
def test_a_field_that_does_not_exist_is_an_error(kind: str) -> None:
    """A caller's slip is told like a person's."""
    given: dict[str, object] = {"canary_wait": 1}
    with pytest.raises(SettingsError, match=r"^canary_wait: unknown; did you mean canary_wait_tim"):
        loaded(**{kind: given})  # type: ignore[arg-type]


def test_a_wrong_default_of_a_program_says_whose_it_is() -> None:
    """So that nobody looks for it in the environment."""
    with pytest.raises(SettingsError, match=r"^hang_budget \(default of the program\): 0 is not"):
        loaded(defaults={"hang_budget": 0})


def test_the_origins_cannot_be_changed() -> None:
    """What crosses a boundary is frozen."""
    with pytest.raises(TypeError):
        loaded().origins["model"] = "me"  # type: ignore[index]


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """`load()` alone is what a worker calls."""
    monkeypatch.setenv("DYN_SYSTEM_PORT", "0")
    assert load().origins["system_port"] == "environment DYN_SYSTEM_PORT"
