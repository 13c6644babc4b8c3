"""The settings choose the backend."""

from __future__ import annotations

import sys

import pytest

from serinus.discovery.choice import BACKENDS, backend_of
from serinus.discovery.kubernetes import Kubernetes
from serinus.discovery.memory import Memory
from serinus.errors import MissingExtraError
from serinus.settings import Settings
from serinus.settings.kinds import Word
from serinus.settings.model import TABLE


def test_the_setting_and_the_list_know_the_same_names() -> None:
    """Every name that is accepted can be had."""
    kind = TABLE["discovery_backend"].kind
    assert isinstance(kind, Word)
    assert set(kind.words) == {"off", *BACKENDS}


async def test_off_is_none() -> None:
    """Nothing is announced unless it is asked for."""
    assert backend_of(Settings()) is None


async def test_memory_is_one_for_the_whole_process() -> None:
    """Whoever asks for it by the settings gets the same store."""
    one = backend_of(Settings(discovery_backend="memory"))
    assert isinstance(one, Memory)
    assert one is backend_of(Settings(discovery_backend="mem"))


async def test_kubernetes_is_told_of_its_pod_by_the_reference_s_variables() -> None:
    """Nothing is read or asked before a session is opened."""
    settings = Settings(discovery_backend="kubernetes", pod_name="w-0", pod_namespace="demo")
    backend = backend_of(settings)
    assert isinstance(backend, Kubernetes)
    assert (backend.pod, backend.place) == ("w-0", "Kubernetes, namespace demo")


@pytest.mark.parametrize(
    ("name", "client", "modules"),
    [
        ("etcd", "aiohttp", ["etcd"]),
        ("nats", "nats", ["nats"]),
        ("kubernetes", "lightkube", ["kubernetes", "kubernetes_api"]),
    ],
)
def test_a_client_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, client: str, modules: list[str]
) -> None:
    """With what to install."""
    for module in [one for one in sys.modules if one.startswith(f"{client}.")]:
        monkeypatch.delitem(sys.modules, module)
    for module in modules:
        monkeypatch.delitem(sys.modules, f"serinus.discovery.{module}", raising=False)
    monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(MissingExtraError, match=rf'pip install "serinus\[{name}\]"'):
        backend_of(Settings(discovery_backend=name))  # type: ignore[arg-type]
