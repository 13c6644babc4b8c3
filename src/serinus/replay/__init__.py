"""Replay: the real judge over recorded evidence, by other settings, in virtual time.

`replay(trace, rules)` says what a judge with these rules would have said; `RecordedEngine` is the
engine that is reconstructed from the trace, for any judge; `scored` compares with what was wrong.
"""

from __future__ import annotations

from serinus.replay.outcome import Detection, Outcome, Score, Timeline, Turn, scored
from serinus.replay.player import Case, case_of, own_word, recorded, replay
from serinus.replay.recorded import Answer, RecordedEngine
from serinus.replay.shipped import shipped, shipped_file
from serinus.replay.truth import Fault, Source, faults_of

__all__ = [
    "Answer",
    "Case",
    "Detection",
    "Fault",
    "Outcome",
    "RecordedEngine",
    "Score",
    "Source",
    "Timeline",
    "Turn",
    "case_of",
    "faults_of",
    "own_word",
    "recorded",
    "replay",
    "scored",
    "shipped",
    "shipped_file",
]
