"""What a status port is run with, taken from the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from serinus.settings import Settings, status_token

__all__ = ["StatusConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusConfig:
    """Where the status port listens, what it serves, and its limits. Durations are seconds.

    With `socket_path` it listens there instead of at `host` and `port`. The values are trusted:
    `Settings` has checked them.
    """

    host: str = "0.0.0.0"
    port: int = 0
    names: tuple[str, str] = ("system_port", "system_host")
    """What the port and the host are called in messages."""
    socket_path: str | None = None
    health_path: str = "/health"
    live_path: str = "/live"
    live_mode: Literal["serinus", "dynamo"] = "serinus"
    loop_stall: float = 5.0
    loop_budget: float = 60.0
    linger: float = 1.0
    max_connections: int = 1000
    header_bytes: int = 8192
    header_timeout: float = 10.0
    idle_timeout: float = 75.0
    details: Literal["local", "token", "off"] = "local"
    token: str | None = field(default=None, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> StatusConfig:
        """Take what concerns the status port; raises SettingsError if a token cannot be read."""
        return cls(
            host=settings.system_host,
            port=settings.system_port,
            socket_path=settings.system_socket,
            health_path=settings.system_health_path,
            live_path=settings.system_live_path,
            live_mode=settings.live_mode,
            loop_stall=settings.loop_stall,
            loop_budget=settings.loop_budget,
            linger=settings.status_linger,
            max_connections=settings.status_max_connections,
            header_bytes=settings.status_header_bytes,
            header_timeout=settings.status_header_timeout,
            idle_timeout=settings.status_idle_timeout,
            details=settings.status_details,
            token=status_token(settings),
        )
