"""The list of backends, and the one that the settings choose."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from serinus.errors import SettingsError

if TYPE_CHECKING:
    from serinus.discovery.port import Backend
    from serinus.settings import Settings

__all__ = ["BACKENDS", "backend_of"]

BACKENDS = {
    "memory": "serinus.discovery.memory",
    "mem": "serinus.discovery.memory",
    "file": "serinus.discovery.file",
    "etcd": "serinus.discovery.etcd",
    "nats": "serinus.discovery.nats",
    "kubernetes": "serinus.discovery.kubernetes",
}
"""The module of each backend, by its name: it has `from_settings(settings) -> Backend`, which
raises MissingExtraError where a client that it needs is not installed, and SettingsError for an
address that cannot be read, and connects to nothing."""


def backend_of(settings: Settings) -> Backend | None:
    """Return the backend that the settings choose, not connected; None if discovery is off."""
    name = settings.discovery_backend
    if name == "off":
        return None
    module = BACKENDS.get(name)
    if module is None:  # the setting and the list are kept alike by a test
        raise SettingsError(f"discovery backend {name!r}; accepted: {', '.join(BACKENDS)}")
    backend: Backend = import_module(module).from_settings(settings)
    return backend
