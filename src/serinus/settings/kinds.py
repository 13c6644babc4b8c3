"""Kinds of value: how a text becomes one, which ones are accepted, how one is written again.

Each kind has the same four parts. `accepted` says in words what may be written. `read` takes text
(from a variable or a flag), `take` takes a value that already has a type (from TOML or Python);
both return the value or raise RefusedError, whose text, if any, is a hint. `show` writes a value so
that `read` gives it back. No kind knows the name of a setting, and none touches the world.
"""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["Fraction", "Kind", "Names", "RefusedError", "Seconds", "Text", "Truth", "Whole", "Word"]

LONGEST = 1e9
"""The longest duration, in seconds: 31 years. Beyond it timers of the system overflow."""

TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
UNITS = (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0))


class RefusedError(ValueError):
    """A value is not accepted; the text, if any, is a hint for who wrote it."""


class Kind:
    """What the table asks of a kind of value; `metavar` stands for a value in `--help`."""

    __slots__ = ("accepted",)

    accepted: str
    metavar = "TEXT"

    def read(self, text: str) -> object:
        """The value that a text stands for; RefusedError if it is not accepted."""
        raise NotImplementedError

    def take(self, value: object) -> object:
        """The value, checked and brought to its type; RefusedError if it is not accepted."""
        raise NotImplementedError

    def show(self, value: object) -> str:
        """The text that `read` turns into this value."""
        raise NotImplementedError


class Whole(Kind):
    """Whole numbers from `low` (None: however low) to `high`."""

    __slots__ = ("high", "low")
    metavar = "N"

    def __init__(self, low: int | None, high: int, *, accepted: str = "") -> None:
        self.low, self.high = low, high
        self.accepted = accepted or f"a whole number from {low} to {high}"

    def read(self, text: str) -> int:
        """Read decimal digits with an optional sign; nothing else that Python would take."""
        digits = text[1:] if text[:1] in ("-", "+") else text
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
            raise RefusedError(_service_hint(text))
        return self.take(int(text))

    def take(self, value: object) -> int:
        """Check an int; a bool is none."""
        if isinstance(value, str):
            return self.read(value.strip())
        if not isinstance(value, int) or isinstance(value, bool):
            raise RefusedError
        if value > self.high or (self.low is not None and value < self.low):
            raise RefusedError
        return value

    def show(self, value: object) -> str:
        """Write it in digits."""
        return str(value)


class Fraction(Kind):
    """Numbers with a fraction, from `low` to `high`."""

    __slots__ = ("high", "low")
    metavar = "X"

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.accepted = f"a number from {_digits(low)} to {_digits(high)}"

    def read(self, text: str) -> float:
        """Read a plain decimal number."""
        return self.take(_number(text))

    def take(self, value: object) -> float:
        """Check a number; NaN and the infinities are none."""
        if isinstance(value, str):
            return self.read(value.strip())
        number = _finite(value)
        if not self.low <= number <= self.high:
            raise RefusedError
        return number

    def show(self, value: object) -> str:
        """Write it as short as it goes."""
        return _digits(value)


class Seconds(Kind):
    """Durations: float seconds, from `low` to 31 years; a text may have a unit."""

    __slots__ = ("low",)
    metavar = "SECONDS"

    def __init__(self, low: float) -> None:
        self.low = low
        self.accepted = (
            f"seconds from {_digits(low)} to {_digits(LONGEST)}, such as 10, 0.5, 500ms, 2s, 1m"
        )

    def read(self, text: str) -> float:
        """Read seconds, or a number with the unit ms, s, m or h."""
        for unit, scale in UNITS:
            if text.endswith(unit):
                return self.take(_number(text.removesuffix(unit).rstrip()) * scale)
        return self.take(_number(text))

    def take(self, value: object) -> float:
        """Check seconds; a string (in TOML) may have a unit."""
        if isinstance(value, str):
            return self.read(value.strip())
        number = _finite(value)
        if not self.low <= number <= LONGEST:
            raise RefusedError
        return number

    def show(self, value: object) -> str:
        """Write seconds with their unit."""
        return f"{_digits(value)}s"


class Truth(Kind):
    """Yes or no, in any usual spelling."""

    __slots__ = ()

    def __init__(self) -> None:
        self.accepted = "true or false (also 1, 0, yes, no, on, off)"

    def read(self, text: str) -> bool:
        """Read a truth word in any case."""
        word = text.lower()
        if word in TRUE:
            return True
        if word in FALSE:
            return False
        raise RefusedError

    def take(self, value: object) -> bool:
        """Check a bool; a string or one of the numbers 0 and 1 is read as text."""
        if isinstance(value, bool):
            return value
        if isinstance(value, str | int):
            return self.read(str(value).strip())
        raise RefusedError

    def show(self, value: object) -> str:
        """Write true or false."""
        return "true" if value else "false"


class Word(Kind):
    """One of a few words, in any case."""

    __slots__ = ("words",)
    metavar = "WORD"

    def __init__(self, *words: str) -> None:
        self.words = words
        self.accepted = f"{', '.join(words[:-1])} or {words[-1]}"

    def read(self, text: str) -> str:
        """Read one of the words; it comes back in lower case."""
        word = text.lower()
        if word not in self.words:
            raise RefusedError
        return word

    def take(self, value: object) -> str:
        """Check a string."""
        if not isinstance(value, str):
            raise RefusedError
        return self.read(value.strip())

    def show(self, value: object) -> str:
        """Write the word."""
        return str(value)


class Names(Kind):
    """A list of names: JSON or TOML array text as in the reference, or words between commas."""

    __slots__ = ()
    metavar = "NAMES"

    def __init__(self) -> None:
        self.accepted = 'names between commas, or an array such as ["generate"]'

    def read(self, text: str) -> tuple[str, ...]:
        """Read an array or comma-separated names; an empty text is an empty list."""
        if text.startswith("["):
            return self.take(_array(text))
        return self.take([name.strip() for name in text.split(",")] if text else [])

    def take(self, value: object) -> tuple[str, ...]:
        """Check a list of names; a name twice counts once, and the order stays."""
        if isinstance(value, str):
            return self.read(value.strip())
        if not isinstance(value, list | tuple):
            raise RefusedError
        return tuple(dict.fromkeys(_name(item) for item in value))

    def show(self, value: object) -> str:
        """Write them between commas."""
        return ",".join(value) if isinstance(value, tuple) else ""


class Text(Kind):
    """Text that `normal` accepts: it returns the text as it should be, or raises RefusedError."""

    __slots__ = ("metavar", "normal")

    def __init__(self, accepted: str, normal: Callable[[str], str], *, metavar: str) -> None:
        self.accepted, self.normal, self.metavar = accepted, normal, metavar

    def read(self, text: str) -> str:
        """Check the text; the empty one is never accepted."""
        if not text or "\0" in text:
            raise RefusedError
        return self.normal(text)

    def take(self, value: object) -> str | None:
        """Check a string; None stays None: not set."""
        if value is None:
            return None
        if not isinstance(value, str):
            raise RefusedError
        return self.read(value.strip())

    def show(self, value: object) -> str:
        """Write the text itself; nothing where there is none."""
        return "" if value is None else str(value)


def _number(text: str) -> float:
    """A plain decimal number: no `nan`, `inf`, underscores or digits of other scripts."""
    if not text or text.strip("0123456789.eE+-"):
        raise RefusedError(_service_hint(text))
    try:
        return float(text)
    except ValueError:
        raise RefusedError from None


def _finite(value: object) -> float:
    """A float of an int or a float that is a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError
    try:
        number = float(value)
    except OverflowError:
        raise RefusedError from None
    if not math.isfinite(number):
        raise RefusedError
    return number


def _digits(value: object) -> str:
    """A number as short as it goes: `10`, `0.5`, `1e-07`.

    >>> _digits(10.0), _digits(0.5), _digits(1e9)
    ('10', '0.5', '1000000000')
    """
    return repr(value).removesuffix(".0")


def _array(text: str) -> object:
    """The array that JSON or TOML text stands for."""
    import tomllib  # noqa: PLC0415 - only who writes an array pays for the parser

    try:
        document = tomllib.loads(f"value = {text}")
    except ValueError:
        raise RefusedError from None
    return document["value"] if len(document) == 1 else None


def _name(item: object) -> str:
    """An endpoint's name or address: printable ASCII without spaces, quotes, commas, brackets."""
    if not isinstance(item, str) or not item or not item.isascii() or not item.isprintable():
        raise RefusedError
    if any(mark in item for mark in " ,'\"[]{}"):
        raise RefusedError
    return item


def _service_hint(text: str) -> str:
    """Explain the `<SERVICE>_PORT=tcp://…` that Kubernetes sets for every Service."""
    if text.startswith(("tcp://", "udp://")):
        return "Kubernetes sets this for a Service of that name: set enableServiceLinks: false"
    return ""
