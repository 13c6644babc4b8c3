"""What the status port takes from the settings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from serinus.settings import Settings
from serinus.status import StatusConfig


def test_the_defaults_are_the_settings() -> None:
    """One truth: what is not said here is what the settings say; only the port is theirs alone."""
    taken = StatusConfig.from_settings(Settings(system_port=0))
    assert taken == StatusConfig()


def test_every_field_is_taken(tmp_path: Path) -> None:
    """Nothing that is set is left behind."""
    secret = tmp_path / "token"
    secret.write_text("s3cret-token\n")
    taken = StatusConfig.from_settings(
        Settings(
            system_host="127.0.0.1",
            system_port=8081,
            system_health_path="/h",
            system_live_path="/l",
            live_mode="dynamo",
            loop_stall=1.0,
            loop_budget=2.0,
            status_linger=3.0,
            status_max_connections=4,
            status_header_bytes=512,
            status_header_timeout=5.0,
            status_idle_timeout=6.0,
            status_details="token",
            status_token_file=str(secret),
        )
    )
    assert taken == StatusConfig(
        host="127.0.0.1",
        port=8081,
        health_path="/h",
        live_path="/l",
        live_mode="dynamo",
        loop_stall=1.0,
        loop_budget=2.0,
        linger=3.0,
        max_connections=4,
        header_bytes=512,
        header_timeout=5.0,
        idle_timeout=6.0,
        details="token",
        token="s3cret-token",
    )
    default = StatusConfig()
    same = [
        field.name
        for field in fields(taken)
        if getattr(taken, field.name) == getattr(default, field.name)
    ]
    assert same == ["names", "socket_path"]  # the names are those of a worker's settings
    assert (
        StatusConfig.from_settings(Settings(system_socket="/run/s.sock")).socket_path
        == "/run/s.sock"
    )


def test_the_token_is_not_shown() -> None:
    """A configuration may be logged."""
    assert "s3cret" not in repr(StatusConfig(token="s3cret"))
