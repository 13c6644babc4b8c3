"""The JSON of endpoints' states."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from serinus.status import endpoints_json


@given(states=st.dictionaries(st.text(), st.sampled_from(["ready", "notready"])))
def test_any_name_survives(states: dict[str, str]) -> None:
    """Names of any characters come back as they were, in their order."""
    told = json.loads(endpoints_json(states))
    assert told == states
    assert list(told) == list(states)


def test_no_spaces() -> None:
    """The reference's compact form."""
    assert endpoints_json({"a": "ready", "b": "notready"}) == b'{"a":"ready","b":"notready"}'
