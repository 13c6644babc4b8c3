"""Addresses: three parts, or a message that says what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.address import EndpointAddress
from serinus.errors import SettingsError

ACCEPTED = (
    "accepted: three parts of letters, digits, '-' and '_', as in 'namespace.component.endpoint'"
)
BAD = {
    "": "endpoint address '': has 1 part(s); ",
    "generate": "endpoint address 'generate': has 1 part(s); ",
    "backend.generate": "endpoint address 'backend.generate': has 2 part(s); ",
    "a.b.c.d": "endpoint address 'a.b.c.d': has 4 part(s); ",
    "a..c": "endpoint address 'a..c': '' is no word; ",
    ".b.c": "endpoint address '.b.c': '' is no word; ",
    "a.b.": "endpoint address 'a.b.': '' is no word; ",
    "a.b.c d": "endpoint address 'a.b.c d': 'c d' is no word; ",
    "a.b.c/d": "endpoint address 'a.b.c/d': 'c/d' is no word; ",
    "a.b.c\n": "endpoint address 'a.b.c\\n': 'c\\n' is no word; ",
    "a.b.é": "endpoint address 'a.b.é': 'é' is no word; ",
    "a.b.²": "endpoint address 'a.b.²': '²' is no word; ",
    "http://a.b.c": "endpoint address 'http://a.b.c': 'http://a' is no word; ",
    "dyn://a.b": "endpoint address 'dyn://a.b': has 2 part(s); ",
    "dyn://dyn://a.b.c": "endpoint address 'dyn://dyn://a.b.c': 'dyn://a' is no word; ",
    "DYN://a.b.c": "endpoint address 'DYN://a.b.c': 'DYN://a' is no word; ",
}
WORDS = st.text("abcXYZ019-_", min_size=1)


@pytest.mark.parametrize(("text", "complaint"), BAD.items())
def test_a_bad_address_is_refused_with_its_text_and_what_is_accepted(
    text: str, complaint: str
) -> None:
    """The message names the thing, the value, and what would be fine."""
    with pytest.raises(SettingsError) as caught:
        EndpointAddress.parse(text)
    assert str(caught.value) == complaint + ACCEPTED


@pytest.mark.parametrize("text", ["a.b.c", "n-1.c_2.E3", "-._.9", "demo.backend.generate"])
def test_letters_digits_dashes_and_underscores_make_a_part(text: str) -> None:
    """What Dynamo's own addresses use is accepted."""
    assert str(EndpointAddress.parse(text)) == text


@given(WORDS, WORDS, WORDS)
def test_an_address_survives_its_text_and_its_url(
    namespace: str, component: str, endpoint: str
) -> None:
    """Both written forms read back as the same address."""
    address = EndpointAddress(namespace, component, endpoint)
    assert EndpointAddress.parse(str(address)) == EndpointAddress.parse(address.url) == address
    assert address.url == f"dyn://{namespace}.{component}.{endpoint}"


def test_one_name_in_two_components_is_two_addresses() -> None:
    """The endpoint's own name does not identify it."""
    one, other = (EndpointAddress.parse(f"n.{part}.generate") for part in ("a", "b"))
    assert one != other
    assert len({one, other}) == 2
