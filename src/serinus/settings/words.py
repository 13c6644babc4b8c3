"""The texts that settings take: hosts, paths, secrets.

Each check returns the text as it should be, or raises RefusedError.
"""

from __future__ import annotations

__all__ = [
    "ADDRESS",
    "BUDGET",
    "DIRECTORY",
    "ENGINE",
    "ETCD",
    "FILE",
    "HOST",
    "KUBERNETES_NAME",
    "KUBERNETES_NAMESPACE",
    "KUBERNETES_SELECTOR",
    "KUBERNETES_UID",
    "MODEL",
    "NAMESPACE",
    "NATS",
    "PASSWORD",
    "PAYLOAD",
    "POLICY",
    "SECRET",
    "SOCKET",
    "URL_PATH",
    "USER",
]

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from serinus.core.address import EndpointAddress
from serinus.core.policy import ACCEPTED, Policy
from serinus.errors import SettingsError
from serinus.settings.kinds import RefusedError, Text

_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
"""RFC 1123, as Kubernetes has it."""
SOCKET_BYTES = 107
"""Linux keeps 108 bytes for the path of a unix socket, the last of them zero (unix(7))."""


def _host(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if (
        not bare
        or not bare.isascii()
        or not bare.isprintable()
        or any(c in bare for c in " /[]@?#")
    ):
        raise RefusedError
    return bare


def _url_path(text: str) -> str:
    if not text.startswith("/") or not text.isascii() or not text.isprintable():
        raise RefusedError
    if any(mark in text for mark in ' ?#"\\%'):
        raise RefusedError
    return text


def _socket(text: str) -> str:
    if len(text.encode(errors="surrogateescape")) > SOCKET_BYTES:
        raise RefusedError
    return text


def _secret(text: str) -> str:
    """Keep to what an HTTP header can carry: visible ASCII, no spaces."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise RefusedError
    return text


def _password(text: str) -> str:
    if not text.isprintable():
        raise RefusedError
    return text


def _subdomain(text: str) -> str:
    if len(text) > 253 or not _SUBDOMAIN.fullmatch(text):
        raise RefusedError
    return text


def _label(text: str) -> str:
    if len(text) > 63 or "." in text:
        raise RefusedError
    return _subdomain(text)


def _graphic(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise RefusedError
    return text


def _address(text: str) -> str:
    try:
        return str(EndpointAddress.parse(text))
    except SettingsError:
        raise RefusedError from None


def _namespace(text: str) -> str:
    try:
        address = EndpointAddress.parse(f"{text}.component.endpoint")
    except SettingsError:
        raise RefusedError from None
    if address.namespace != text:
        raise RefusedError
    return text


def _policy(text: str) -> str:
    try:
        return str(Policy.parse(text))
    except SettingsError:
        raise RefusedError from None


def _servers(schemes: tuple[str, ...], port: int) -> Callable[[str], str]:
    """Return the check of addresses between commas; a scheme and a port are added where missing."""

    def check(text: str) -> str:
        return ",".join(_server(place.strip(), schemes, port) for place in text.split(","))

    return check


def _server(text: str, schemes: tuple[str, ...], port: int) -> str:
    whole = text if "://" in text else f"{schemes[0]}://{text}"
    try:
        parts = urlsplit(whole)
        number = port if parts.port is None else parts.port
    except ValueError:
        raise RefusedError from None
    if parts.scheme not in schemes or not parts.hostname or parts.path.strip("/"):
        raise RefusedError
    if "@" in parts.netloc:
        raise RefusedError("user and password have settings of their own")
    if parts.query or parts.fragment or not whole.isascii() or " " in whole:
        raise RefusedError
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{number}"


def _budget(text: str) -> str:
    digits = text.removesuffix("%").strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 6):
        raise RefusedError
    if text.endswith("%") and int(digits) > 100:
        raise RefusedError
    return str(int(digits)) + text[len(text.rstrip("%")) :]


def _any(text: str) -> str:
    return text


ADDRESS = Text("an address such as namespace.component.endpoint", _address, metavar="ADDRESS")
BUDGET = Text(
    "a number of instances such as 1, or a share of them such as 25%", _budget, metavar="N|X%"
)
ENGINE = Text("the name of an engine", _any, metavar="ENGINE")
HOST = Text(
    "a host name or address to listen on, such as 0.0.0.0, :: or 127.0.0.1", _host, metavar="HOST"
)
URL_PATH = Text(
    "a path that starts with '/', without spaces or any of ? # % \\ \"", _url_path, metavar="PATH"
)
SOCKET = Text(
    f"the path of a unix socket, at most {SOCKET_BYTES} bytes long", _socket, metavar="PATH"
)
SECRET = Text("visible ASCII characters without spaces", _secret, metavar="SECRET")
DIRECTORY = Text("the path of a directory", _any, metavar="DIRECTORY")
ETCD = Text(
    "addresses such as http://host:2379 or https://host:2379, between commas",
    _servers(("http", "https"), 2379),
    metavar="URLS",
)
NATS = Text(
    "addresses such as nats://host:4222 or tls://host:4222, between commas",
    _servers(("nats", "tls"), 4222),
    metavar="URLS",
)
FILE = Text("the path of a file", _any, metavar="FILE")
PAYLOAD = Text("a JSON object, or @ and the path of a file with one", _any, metavar="JSON")
POLICY = Text(ACCEPTED, _policy, metavar="POLICY")
NAMESPACE = Text("a word of letters, digits, '-' and '_'", _namespace, metavar="NAME")
MODEL = Text("the name of a model", _any, metavar="NAME")
USER = Text("the name of a user", _any, metavar="NAME")
PASSWORD = Text("printable characters", _password, metavar="SECRET")
KUBERNETES_NAME = Text(
    "a name as Kubernetes has them: lower-case letters, digits, '-' and '.'",
    _subdomain,
    metavar="NAME",
)
KUBERNETES_NAMESPACE = Text(
    "a namespace of Kubernetes: at most 63 lower-case letters, digits and '-'",
    _label,
    metavar="NAME",
)
KUBERNETES_SELECTOR = Text("a label selector, such as app=worker", _graphic, metavar="SELECTOR")
KUBERNETES_UID = Text("the UID of an object of Kubernetes", _secret, metavar="UID")
