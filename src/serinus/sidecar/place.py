"""Where an engine is: the URL that somebody wrote, checked and taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from serinus.errors import SettingsError, excerpt

__all__ = ["Place"]

_SCHEMES = {"http": 80, "https": 443}
_PATH = re.compile(r"(?:/[\w.~%!$&'()*+,;=:@-]+)*")
_HOST = re.compile(r"[\w.-]+|[0-9a-fA-F:.]+(?:%\w+)?")
_API = "/v1"
_ACCEPTED = (
    "accepted: http://HOST:PORT or https://HOST:PORT, with a path before /v1 if there is one"
)


@dataclass(frozen=True, slots=True)
class Place:
    """The address of an engine's HTTP server. `prefix` is the path before its routes, or empty."""

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def parse(cls, text: str, *, called: str = "--url") -> Place:
        """Read a URL; an ending `/v1`, as in a client's base URL, is left out.

        Raises SettingsError, which names `called` and never repeats credentials.

        >>> print(Place.parse("http://127.0.0.1:8000/v1"))
        http://127.0.0.1:8000
        >>> Place.parse("localhost:8000")
        Traceback (most recent call last):
        serinus.errors.SettingsError: --url: 'localhost:8000' is not accepted; accepted: \
http://HOST:PORT or https://HOST:PORT, with a path before /v1 if there is one
        """
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError as error:
            raise _refused(called, text, f" ({excerpt(error, limit=60)})") from None
        if "@" in parts.netloc:
            raise SettingsError(
                f"{called}: a URL with credentials is not accepted (not shown); "
                "give an API key by SERINUS_API_KEY or --api-key-file"
            )
        _check(called, text, parts)
        host = parts.hostname or ""
        if port == 0 or not _HOST.fullmatch(host):
            raise _refused(called, text)
        prefix = parts.path.rstrip("/")
        prefix = prefix.removesuffix(_API) if prefix.endswith(_API) else prefix
        if not _PATH.fullmatch(prefix):
            raise _refused(called, text)
        scheme = parts.scheme.lower()
        return cls(scheme, host, port or _SCHEMES[scheme], prefix)

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return self.scheme == "https"

    def url(self, path: str, *, port: int | None = None) -> str:
        """Return the URL of one of its routes, or of a path on another port of its host."""
        return f"{self}{path}" if port is None else f"{self._server(port)}{path}"

    def __str__(self) -> str:
        return f"{self._server(self.port)}{self.prefix}"

    def _server(self, port: int) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{port}"


def _check(called: str, text: str, parts: SplitResult) -> None:
    if parts.scheme.lower() not in _SCHEMES or not parts.hostname:
        raise _refused(called, text)
    if parts.query or parts.fragment:
        raise _refused(called, text.partition("?")[0], " (without a query or a fragment)")


def _refused(called: str, text: str, hint: str = "") -> SettingsError:
    shown = repr(excerpt(text, limit=80))
    if "@" in text:
        shown = "the URL (not shown)"
    return SettingsError(f"{called}: {shown} is not accepted; {_ACCEPTED}{hint}")
