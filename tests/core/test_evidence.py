"""Evidence as people read it in reports and logs."""

from __future__ import annotations

import pytest

from serinus.core import evidence as e

TEXTS: list[tuple[e.Evidence, str]] = [
    (e.Registered(1.0, canary=True), "registered"),
    (e.Progress(1.0), "progress seen by traffic"),
    (e.Progress(1.0, e.Witness.COUNTERS), "progress seen by engine counters"),
    (e.Load(1.0, 3), "3 in flight"),
    (e.Load(1.0, 0), "0 in flight"),
    (e.Load(1.0, None), "load unknown"),
    (e.RequestFailed(1.0, e.RequestFault.SERVER), "a request failed (server)"),
    (
        e.RequestFailed(1.0, e.RequestFault.CLIENT, "ValueError: too long"),
        "a request failed (client): ValueError: too long",
    ),
    (
        e.CanaryPassed(1.0, 0.0123, 0.5),
        "canary: first item after 0.012 s, done after 0.500 s",
    ),
    (e.CanaryFailed(5.0, 2.0, e.CanaryFault.TIMEOUT), "canary failed: timeout after 3.000 s"),
    (
        e.CanaryFailed(5.0, 5.0, e.CanaryFault.RAISED, "KeyError: 'x'"),
        "canary failed: raised after 0.000 s: KeyError: 'x'",
    ),
    (e.CanaryUnknown(1.0), "canary without a meaning"),
    (e.CanaryUnknown(1.0, "late"), "canary without a meaning: late"),
    (e.Blinded(5.0, 2.0), "trouble of our own for 3.0 s"),
    (e.Blinded(5.0, 5.0, "slept"), "trouble of our own for 0.0 s: slept"),
    (e.Loading(1.0, e.Phase.PORT_CLOSED), "loading: port closed"),
    (e.EngineDied(1.0), "engine died"),
    (e.EngineDied(1.0, "exit code -9"), "engine died: exit code -9"),
    (e.Heard(1.0, well=True, detail="200"), "the engine says of itself: well: 200"),
    (e.Heard(1.0, well=False, detail="503"), "the engine says of itself: not well: 503"),
    (e.Heard(1.0, well=None), "the engine says of itself: nothing"),
    (e.Lease(1.0, 61.0, "weights"), "lease for 60.0 s: weights"),
    (e.Tick(1.0), "time passed"),
]


@pytest.mark.parametrize(("evidence", "text"), TEXTS)
def test_evidence_reads_as_one_line(evidence: e.Evidence, text: str) -> None:
    """A report shows the deciding evidence as text."""
    assert str(evidence) == text


@pytest.mark.parametrize(("evidence", "_text"), TEXTS)
def test_evidence_is_frozen(evidence: e.Evidence, _text: str) -> None:
    """What was seen cannot be changed afterwards."""
    with pytest.raises(AttributeError):
        evidence.at = 2.0  # type: ignore[misc]
