"""Records of the prober, and the reference's model cards."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.topology import Role
from serinus.discovery.cards import Card, read_card
from serinus.discovery.findings import Account, Finding, encode_any, read_account, read_finding
from serinus.errors import DiscoveryError

KEY = "v1/mdc/demo/backend/generate/61446f5623f8881"
CARD = {
    "type": "Model",
    "namespace": "demo",
    "component": "backend",
    "endpoint": "generate",
    "instance_id": 438053083491043457,
    "card_json": {
        "display_name": "tiny",
        "slug": "tiny",
        "model_type": "Chat | Completions",
        "model_input": "Tokens",
        "worker_type": "decode",
        "needs": [["prefill"]],
        "runtime_config": {"data_parallel_size": 1},
    },
}
"""As Dynamo 1.6.1 writes it, but for what says nothing of readiness."""


def test_a_card_gives_its_instance_a_role() -> None:
    """The instance is that of the key."""
    name = "demo/backend/generate/61446f5623f8881"
    card = Card(name, "demo", Role("tiny", "decode", (("prefill",),)))
    assert read_card(KEY, json.dumps(CARD).encode()) == card


def test_an_adapters_card_is_of_the_same_instance() -> None:
    """Its key has one part more."""
    card = read_card(f"{KEY}/adapter", json.dumps(CARD).encode())
    assert card.name == "demo/backend/generate/61446f5623f8881"


def test_an_older_card_names_no_type() -> None:
    """Then its worker may be any."""
    older = {"card_json": {"display_name": "tiny"}}
    assert read_card(KEY, json.dumps(older).encode()).role == Role("tiny")


@pytest.mark.parametrize(
    "value", [b"", b"[]", b"{}", b'{"card_json": []}', b'{"card_json": {"display_name": 7}}']
)
def test_what_is_no_card_is_named(value: bytes) -> None:
    """By its key."""
    with pytest.raises(DiscoveryError, match="61446f5623f8881"):
        read_card(KEY, value)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(value: bytes) -> None:
    """Never anything but a DiscoveryError."""
    for read in (read_card, read_finding):
        with contextlib.suppress(DiscoveryError):
            read(KEY, value)
    with contextlib.suppress(DiscoveryError):
        read_account(value)


def test_findings_and_accounts_are_read_as_they_were_written() -> None:
    """Both ways."""
    finding = Finding(reachable=False, reason="refused", since="2026-01-01T00:00:00Z", by="a")
    assert read_finding("k", encode_any(finding)) == finding
    account = Account("a", probes=5, failed=2, unreachable=1, skipped=0, interval=10.0)
    assert read_account(encode_any(account)) == account
