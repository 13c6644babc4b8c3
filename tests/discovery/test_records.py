"""Records: the reference's schema, ours on top, and what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.address import EndpointAddress
from serinus.core.instance import Instance
from serinus.core.status import HealthStatus
from serinus.discovery.records import decode, encode, key_of, owner_of
from serinus.errors import DiscoveryError

REFERENCE = (
    b'{"type":"Endpoint","component":"backend","endpoint":"generate","namespace":"demo",'
    b'"instance_id":8277351675504414252,"transport":{"tcp":"127.0.0.1:44837/72df0f7e5b6cce2c/demo/'
    b'backend/generate"},"device_type":"cuda","request_plane_codec":"msgpack"}'
)
KEY = "v1/instances/demo/backend/generate/72df0f7e5b6cce2c"


def test_a_record_of_the_reference_is_read() -> None:
    """As Dynamo 1.6.1 wrote it: who it is, how it is called, and nothing said of its health."""
    instance = decode(KEY, REFERENCE)
    assert str(instance.address) == "demo.backend.generate"
    assert key_of(instance) == KEY
    assert instance.transport == {"tcp": "127.0.0.1:44837/72df0f7e5b6cce2c/demo/backend/generate"}
    assert instance.status is None
    assert instance.ready
    assert owner_of(REFERENCE) == ""


words = st.text("abcXYZ019-_", min_size=1, max_size=12)


@given(
    address=st.builds(EndpointAddress, words, words, words),
    number=st.integers(0, 2**64 - 1),
    status=st.sampled_from([None, HealthStatus.READY, HealthStatus.NOTREADY]),
    transport=st.dictionaries(words, st.text(max_size=20), max_size=3),
    facts=st.dictionaries(words.filter(lambda w: w != "status"), st.integers(), max_size=3),
)
def test_a_record_that_was_written_is_read_again(
    address: EndpointAddress,
    number: int,
    status: HealthStatus | None,
    transport: dict[str, str],
    facts: dict[str, object],
) -> None:
    """Nothing is lost on the way."""
    reason = "" if status is None else "canary"
    instance = Instance(address, number, transport, status, reason, "2026-01-01T00:00:00Z", "o")
    instance = instance._replace(facts=facts)
    assert decode(key_of(instance), encode(instance)) == instance
    assert owner_of(encode(instance)) == "o"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (b"", "Expecting value"),
        (b"\xff", "can't decode"),
        (b"[]", "is a list where an object is expected"),
        (b"{}", "no 'namespace'"),
        (REFERENCE.replace(b'"Endpoint"', b'"Model"'), "is of the type Model, and no Endpoint"),
        (REFERENCE.replace(b'"demo"', b'"de mo"'), "endpoint address 'de mo.backend.generate'"),
        (REFERENCE.replace(b'"demo"', b"7"), "has a int where a text is expected"),
        (REFERENCE.replace(b"8277351675504414252", b"-1"), "instance_id -1 is no unsigned"),
        (REFERENCE.replace(b"8277351675504414252", b"true"), "instance_id True is no unsigned"),
        (REFERENCE.replace(b'"transport"', b'"transports"'), "no 'transport'"),
        (b"[" * 100_000, "recursion"),
        (REFERENCE.replace(b'"cuda"', b"NaN"), "has NaN where a finite number is expected"),
        (REFERENCE.replace(b'"cuda"', b"1e999"), "has 1e999 where a finite number is expected"),
        (REFERENCE.replace(b'"cuda"', b'"\\ud800"'), "surrogates not allowed"),
    ],
)
def test_a_foreign_or_corrupt_record_is_named(value: bytes, told: str) -> None:
    """The error has the key, and what is wrong."""
    with pytest.raises(DiscoveryError) as error:
        decode(KEY, value)
    assert KEY in str(error.value)
    assert told in str(error.value)


def test_an_unknown_status_is_refused() -> None:
    """What cannot be understood is not taken for ready."""
    record = json.loads(REFERENCE) | {"serinus": {"status": "fine"}}
    with pytest.raises(DiscoveryError, match="'fine' is not a valid HealthStatus"):
        decode(KEY, json.dumps(record).encode())
