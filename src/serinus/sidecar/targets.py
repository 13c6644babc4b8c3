"""Which engines are watched, and by which endpoint address each goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serinus.core.address import EndpointAddress
from serinus.engines import Engine, engine_named
from serinus.errors import SettingsError, excerpt
from serinus.sidecar.place import Place

__all__ = ["Target", "read_targets"]

_NAMESPACE, _ENDPOINT = "serinus", "generate"
_NAMES = "accepted: NAME=URL, NAME being a word of letters, digits, '-' and '_', or a whole address"


@dataclass(frozen=True, slots=True)
class Target:
    """One engine to watch: its endpoint address, where it is, and of which kind it is."""

    address: EndpointAddress
    place: Place
    engine: Engine


def read_targets(
    *, urls: Sequence[str] = (), named: Sequence[str] = (), engine: str = "vllm"
) -> tuple[Target, ...]:
    """Read what `--url` and `--target NAME=URL` say; each can be given several times.

    An engine without a name goes by `serinus.<engine>.generate`, the second of them by
    `serinus.<engine>-2.generate`. Raises SettingsError for what cannot be read, for no engine at
    all, and for two that share an address or a place.

    >>> [str(one.address) for one in read_targets(urls=["http://a:1"], named=["b=http://b:1"])]
    ['serinus.vllm.generate', 'serinus.b.generate']
    """
    kind = engine_named(engine)
    if not urls and not named:
        raise SettingsError(
            "no engine to watch; accepted: --url http://HOST:PORT, or --target NAME=URL for several"
        )
    targets = [
        Target(_address(kind.name if number == 1 else f"{kind.name}-{number}"), place, kind)
        for number, place in enumerate(map(Place.parse, urls), start=1)
    ]
    targets += [_read(text, kind) for text in named]
    _refuse_twins(targets)
    return tuple(targets)


def _read(text: str, engine: Engine) -> Target:
    name, equals, url = text.partition("=")
    if not equals or "/" in name:
        shown = "the text (not shown)" if "@" in text else repr(excerpt(text, limit=80))
        raise SettingsError(f"--target: {shown} has no name; {_NAMES}")
    name = name.strip()
    try:
        address = EndpointAddress.parse(name) if "." in name else _address(name)
    except SettingsError:
        shown = repr(excerpt(name, limit=80))
        raise SettingsError(f"--target: the name {shown} is not accepted; {_NAMES}") from None
    return Target(address, Place.parse(url, called=f"--target {name}"), engine)


def _address(name: str) -> EndpointAddress:
    return EndpointAddress.parse(f"{_NAMESPACE}.{name}.{_ENDPOINT}")


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
