"""Kinds of value: what is read, what is written, and that nothing else happens."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serinus.settings import TABLE, Settings
from serinus.settings.kinds import Names, RefusedError, Seconds, Truth, Whole, Word
from serinus.settings.table import Setting

ROWS = st.sampled_from(sorted(TABLE.values(), key=lambda row: row.name))


@given(ROWS, st.text() | st.from_regex(r"[-+0-9.eE_]{1,12}(ms|s|m|h)?", fullmatch=True))
@example(TABLE["use_endpoint_health_status"], "[" * 500)
@example(TABLE["use_endpoint_health_status"], "['a']\nvalue = 1")
def test_any_text_is_refused_or_comes_back_from_its_own_writing(row: Setting, text: str) -> None:
    """No text raises anything but a refusal, and what is read can be written and read again."""
    kind = row.kind
    try:
        value = kind.read(text.strip())
    except RefusedError:
        return
    assert kind.read(kind.show(value)) == value
    assert kind.take(value) == value


@given(
    ROWS,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3),
    ),
)
def test_any_value_is_refused_or_taken(row: Setting, value: object) -> None:
    """Whatever stands in a TOML file or a caller's hand: a refusal or a sound value."""
    kind = row.kind
    try:
        taken = kind.take(value)
    except RefusedError:
        return
    assert kind.take(taken) == taken
    assert not isinstance(taken, float) or math.isfinite(taken)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10.0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("500ms", 0.5),
        ("500 ms", 0.5),
        ("2s", 2.0),
        ("1.5m", 90.0),
        ("1h", 3600.0),
        ("1e3", 1000.0),
        ("+3", 3.0),
    ],
)
def test_durations_may_have_a_unit(text: str, seconds: float) -> None:
    """Seconds by default; ms, s, m and h are understood."""
    assert Seconds(0).read(text) == seconds


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('["generate"]', ("generate",)),
        ("['a', 'b',]", ("a", "b")),
        ("[]", ()),
        ("generate", ("generate",)),
        ("a, b ,c", ("a", "b", "c")),
        ("ns.backend.generate", ("ns.backend.generate",)),
        ("a,b,a", ("a", "b")),
        ("", ()),
    ],
)
def test_names_may_be_an_array_or_words(text: str, names: tuple[str, ...]) -> None:
    """The reference's spelling and the one that people type."""
    assert Names().read(text) == names


@pytest.mark.parametrize("word", ["true", "TRUE", "1", "Yes", "on"])
def test_yes_has_many_spellings(word: str) -> None:
    """The reference takes one of them."""
    assert Truth().read(word) is True


@pytest.mark.parametrize("word", ["false", "False", "0", "NO", "off"])
def test_no_has_many_spellings(word: str) -> None:
    """The reference takes one of them."""
    assert Truth().read(word) is False


def test_a_port_may_be_any_negative_number() -> None:
    """Negative is off, however negative: the reference takes all of an i16."""
    assert Settings(system_port=-32768).system_port == -32768


def test_a_number_of_a_thousand_digits_is_refused_at_once() -> None:
    """Python would spend time on it, or raise an error of its own."""
    with pytest.raises(RefusedError):
        Whole(1, 5).read("9" * 10_000)


def test_words_come_back_in_lower_case() -> None:
    """`Ready` is `ready`."""
    assert Word("ready", "notready").read("NotReady") == "notready"
