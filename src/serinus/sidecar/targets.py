"""Which engines are watched, and by which endpoint address each goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from serinus.core.address import EndpointAddress
from serinus.engines import ANY, Engine, engine_named
from serinus.engines.capabilities import ServesDisaggregated
from serinus.errors import SettingsError, excerpt
from serinus.runtime.board import DEGRADED_POLICIES
from serinus.sidecar.place import Place

__all__ = ["AUTO", "Target", "address_named", "read_targets"]

AUTO = "auto"
"""The kind of an engine that is to be recognised."""
_NAMESPACE, _ENDPOINT, _ANY = "serinus", "generate", "engine"
_NAMES = "accepted: NAME=URL, NAME being a word of letters, digits, '-' and '_', or a whole address"


@dataclass(frozen=True, slots=True)
class Target:
    """One engine to watch: its endpoint address, where it is, and of which kind it is.

    Where `recognise` holds nobody has named its kind, and `engine` is what it is taken for until
    it is known: any server of OpenAI's API. `metrics_port` is where its page is, if not where it
    usually is.
    """

    address: EndpointAddress
    place: Place
    engine: Engine
    recognise: bool = False
    metrics_port: int | None = None
    paired: bool = False
    """Whether it is one side of a prefill/decode pair."""
    degraded_policy: str | None = None
    """What becomes of it while it serves worse than it should; None: what the settings say."""

    def asked_as(self, engine: Engine) -> Engine:
        """Return an engine of this kind as it is asked here."""
        if self.paired and isinstance(engine, ServesDisaggregated):
            return engine.alone()
        return engine

    @property
    def kind(self) -> str:
        """Its kind as the command line has it."""
        return AUTO if self.recognise else self.engine.name


def read_targets(
    *,
    urls: Sequence[str] = (),
    named: Sequence[str] = (),
    engine: str = "vllm",
    metrics_port: int | None = None,
    namespace: str = _NAMESPACE,
) -> tuple[Target, ...]:
    """Read what `--url` and `--target NAME[:POLICY]=URL` say; each can be given several times.

    An engine without a name goes by `serinus.<engine>.generate`, the second of them by
    `serinus.<engine>-2.generate`; with `auto` for its kind by `serinus.engine.generate`; all of it
    in another `namespace` if one is given. Raises SettingsError for what cannot be read, for no
    engine at all, and for two that share an address or a place.

    >>> [str(one.address) for one in read_targets(urls=["http://a:1"], named=["b=http://b:1"])]
    ['serinus.vllm.generate', 'serinus.b.generate']
    """
    auto = engine.strip().lower() == AUTO
    kind = engine_named(ANY if auto else engine, also=(AUTO,))
    name = _ANY if auto else kind.name
    if not urls and not named:
        raise SettingsError(
            "no engine to watch; accepted: --url http://HOST:PORT, or --target NAME=URL for several"
        )
    targets = [
        Target(_address(name if number == 1 else f"{name}-{number}", namespace), place, kind)
        for number, place in enumerate(map(Place.parse, urls), start=1)
    ]
    targets += [_read(text, kind, namespace) for text in named]
    _refuse_twins(targets)
    return tuple(replace(one, recognise=auto, metrics_port=metrics_port) for one in targets)


def _read(text: str, engine: Engine, namespace: str) -> Target:
    head, equals, url = text.partition("=")
    if not equals or "/" in head:
        shown = "the text (not shown)" if "@" in text else repr(excerpt(text, limit=80))
        raise SettingsError(f"--target: {shown} has no name; {_NAMES}")
    name, colon, policy = (part.strip() for part in head.partition(":"))
    address = address_named(name, called="--target", namespace=namespace)
    place = Place.parse(url, called=f"--target {name}")
    return Target(address, place, engine, degraded_policy=_policy(name, policy) if colon else None)


def _policy(name: str, text: str) -> str:
    if text in DEGRADED_POLICIES:
        return text
    shown = "(not shown)" if "@" in text else repr(excerpt(text, limit=40))
    accepted = " or ".join(f"{name}:{policy}=URL" for policy in DEGRADED_POLICIES)
    raise SettingsError(
        f"--target {name}: the degraded policy {shown} is not accepted; accepted: {accepted}"
    )


def address_named(name: str, *, called: str, namespace: str = _NAMESPACE) -> EndpointAddress:
    """Return the address that a name stands for. Raises SettingsError, which names `called`."""
    try:
        return EndpointAddress.parse(name) if "." in name else _address(name, namespace)
    except SettingsError:
        shown = repr(excerpt(name, limit=80))
        raise SettingsError(f"{called}: the name {shown} is not accepted; {_NAMES}") from None


def _address(name: str, namespace: str) -> EndpointAddress:
    return EndpointAddress.parse(f"{namespace}.{name}.{_ENDPOINT}")


def _refuse_twins(targets: Sequence[Target]) -> None:
    addresses: set[EndpointAddress] = set()
    places: dict[Place, EndpointAddress] = {}
    for target in targets:
        if target.address in addresses:
            raise SettingsError(
                f"--target: two engines are called {target.address}; accepted: a name for each"
            )
        addresses.add(target.address)
        other = places.setdefault(target.place, target.address)
        if other != target.address:
            raise SettingsError(
                f"{target.place} is watched as {other} and as {target.address}; accepted: once"
            )
