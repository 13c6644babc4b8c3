"""TOML files: our own is strict, the reference's are read for what we know."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.errors import SettingsError
from serinus.settings import load


def test_our_file_takes_typed_values_and_texts(tmp_path: Path) -> None:
    """Numbers, truth values and arrays as TOML has them; durations with units as strings."""
    path = tmp_path / "serinus.toml"
    path.write_text(
        'system_port = 9090\nhealth_check_enabled = true\ncanary_wait_time = "500ms"\n'
        'use_endpoint_health_status = ["generate"]\nhang_budget = 5\nlive_mode = "Dynamo"\n'
        'lenient_payload = "yes"\ncanary_jitter = "0.2"\nfailure_threshold = "3"\n'
    )
    result = load(file=path, environ={}, reference_files=())
    settings = result.settings
    assert (settings.system_port, settings.health_check_enabled) == (9090, True)
    assert (settings.canary_wait_time, settings.hang_budget) == (0.5, 5.0)
    assert settings.use_endpoint_health_status == ("generate",)
    assert (settings.live_mode, settings.lenient_payload) == ("dynamo", True)
    assert (settings.canary_jitter, settings.failure_threshold) == (0.2, 3)
    assert result.origins["system_port"] == f"file {path}"


def test_an_unknown_key_in_our_file_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    """A misspelt key that did nothing would be found at 3 a.m."""
    path = tmp_path / "serinus.toml"
    path.write_text("cannary_wait_time = 1\n[status]\nport = 1\n")
    with pytest.raises(SettingsError) as caught:
        load(file=path, environ={}, reference_files=())
    assert str(caught.value).splitlines() == [
        "2 settings are wrong:",
        f"  cannary_wait_time in {path}: unknown; did you mean canary_wait_time?",
        f"  status in {path}: unknown",
    ]


def test_a_bad_value_in_our_file_is_named_with_the_file(tmp_path: Path) -> None:
    """Which key, which file, which value, what is accepted."""
    path = tmp_path / "serinus.toml"
    path.write_text("canary_wait_time = 0\n")
    with pytest.raises(SettingsError) as caught:
        load(file=path, environ={}, reference_files=())
    assert str(caught.value) == (
        f"canary_wait_time in {path}: 0 is not accepted; accepted: seconds from 0.001 to"
        " 1000000000, such as 10, 0.5, 500ms, 2s, 1m"
    )


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (None, "it cannot be read: No such file or directory"),
        (b"canary_wait_time =", "it is not TOML: Invalid value"),
        (b"\xff\xfe", "it is not TOML: 'utf-8' codec"),
        (b"#" * (2 << 20), "it is larger than 1048576 bytes"),
    ],
)
def test_a_file_that_cannot_be_read_stops_the_start(
    tmp_path: Path, content: bytes | None, hint: str
) -> None:
    """The message names what named the file, the file, and what is wrong with it."""
    path = tmp_path / "serinus.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load(environ={"SERINUS_CONFIG": str(path)}, reference_files=())
    start = f"SERINUS_CONFIG: {str(path)!r} is not accepted; accepted: a TOML file ({hint}"
    assert str(caught.value).startswith(start)


def test_a_flag_for_the_file_goes_before_the_variable(tmp_path: Path) -> None:
    """The variable's file is then not even opened."""
    path = tmp_path / "serinus.toml"
    path.write_text("model = 'm'\n")
    environ = {"SERINUS_CONFIG": str(tmp_path / "none.toml")}
    assert load(file=path, environ=environ, reference_files=()).settings.model == "m"


def test_a_directory_or_no_path_at_all_is_refused(tmp_path: Path) -> None:
    """Neither a traceback nor silence."""
    with pytest.raises(SettingsError, match=r"^--config: .*it cannot be read: Is a directory"):
        load(file=tmp_path, environ={}, reference_files=())
    with pytest.raises(SettingsError, match=r"^--config: .*it cannot be the path of a file"):
        load(file="a\0b", environ={}, reference_files=())


def test_the_references_file_is_read_by_its_own_names(tmp_path: Path) -> None:
    """Keys there that are not ours are its business."""
    path = tmp_path / "runtime.toml"
    path.write_text(
        'system_port = 9091\nstarting_health_status = "ready"\nnum_worker_threads = 4\n'
        "health_check_request_timeout_secs = 7\ncanary_jitter = 0.4\n"
    )
    result = load(environ={}, reference_files=(str(path),))
    assert result.settings.system_port == 9091
    assert result.settings.system_starting_health_status == "ready"
    assert result.settings.health_check_request_timeout == 7.0
    assert result.settings.canary_jitter == 0.1
    assert result.origins["system_port"] == f"file {path}"
    assert result.warnings == ()


def test_a_bad_file_of_the_reference_stops_the_start(tmp_path: Path) -> None:
    """The reference stops there too."""
    path = tmp_path / "runtime.toml"
    path.write_text("system_port = ")
    with pytest.raises(SettingsError, match=r"^file: .*runtime.toml' is not accepted"):
        load(environ={}, reference_files=(str(path),))
