"""The address of a served function: namespace, component, endpoint."""

from __future__ import annotations

from sys import intern
from typing import NamedTuple

from serinus.errors import SettingsError

__all__ = ["EndpointAddress"]

_SCHEME = "dyn://"


class EndpointAddress(NamedTuple):
    """`namespace.component.endpoint`; written `dyn://namespace.component.endpoint` as a URL.

    >>> address = EndpointAddress.parse("demo.backend.generate")
    >>> address.endpoint, str(address), address.url
    ('generate', 'demo.backend.generate', 'dyn://demo.backend.generate')
    """

    namespace: str
    component: str
    endpoint: str

    @classmethod
    def parse(cls, text: str) -> EndpointAddress:
        """Read `ns.component.endpoint`, with or without `dyn://`.

        Raises SettingsError when it has not exactly three parts of letters, digits, `-` and `_`.
        """
        parts = text.removeprefix(_SCHEME).split(".")
        if len(parts) != 3 or not all(_is_word(part) for part in parts):
            odd = [part for part in parts if not _is_word(part)] if len(parts) == 3 else []
            wrong = f"{odd[0]!r} is no word" if odd else f"has {len(parts)} part(s)"
            raise SettingsError(
                f"endpoint address {text!r}: {wrong}; accepted: three parts of "
                "letters, digits, '-' and '_', as in 'namespace.component.endpoint'"
            )
        namespace, component, endpoint = parts
        return cls(intern(namespace), intern(component), endpoint)  # many endpoints share them

    @property
    def url(self) -> str:
        """The `dyn://` form."""
        return f"{_SCHEME}{self}"

    def __str__(self) -> str:
        return f"{self.namespace}.{self.component}.{self.endpoint}"


def _is_word(part: str) -> bool:
    bare = part.replace("-", "").replace("_", "")
    return part.isascii() and (bare.isalnum() or (bool(part) and not bare))
