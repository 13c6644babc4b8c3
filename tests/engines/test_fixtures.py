"""Each engine against answers and pages of its own: recorded, or written from its sources."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from serinus.core.evidence import CanaryFault
from serinus.engines import ENGINES, Blame, Engine, engine_named, progress
from serinus.engines.exposition import read_page
from serinus.engines.recognition import next_paths, recognised
from serinus.engines.signs import Sighting
from tests.engines.answers import FIXTURES, RECORDED, Recorded, read, recorded

FOLDERS = [*sorted(folder for folder in FIXTURES.iterdir() if folder.is_dir()), RECORDED]
"""`<engine>-<release>`; `<engine>-written` where it cannot run here."""


def kind_of(folder: Path) -> Engine:
    return engine_named(re.sub(r"-[^-]+$", "", folder.name))


def named(pattern: str) -> list[tuple[Path, str]]:
    return [
        (folder, path.stem) for folder in FOLDERS for path in sorted(folder.glob(f"{pattern}.json"))
    ]


def label(value: object) -> str | None:
    return value.name if isinstance(value, Path) else None


def test_every_engine_with_a_name_of_its_own_has_fixtures() -> None:
    """`openai` is any other server: nobody's answers are its own."""
    assert {kind_of(folder).name for folder in FOLDERS} >= {one.name for one in ENGINES} - {
        "openai"
    }


@pytest.mark.parametrize(("folder", "name"), named("canary*"), ids=label)
@pytest.mark.parametrize("size", [1, 13, 1 << 20])
def test_an_answer_to_its_canary_is_one_token(folder: Path, name: str, size: int) -> None:
    """What was recorded answers what is asked today, and is counted as one token."""
    engine, exchange = kind_of(folder), recorded(name, folder)
    model = exchange.request.get("model", "ensemble") if exchange.request else "tiny"
    asked = [
        (one.method, one.path, json.loads(one.body or b"null"))
        for one in engine.alternatives(model)
    ]
    assert (exchange.method, exchange.path, exchange.request) in asked
    answer = read(engine, exchange.body, headers=exchange.headers, size=size)
    assert answer.passed, answer.failure
    assert answer.tokens == 1


@pytest.mark.parametrize(("folder", "name"), named("models"), ids=label)
def test_its_models_are_listed(folder: Path, name: str) -> None:
    """The first of them is the one that is asked."""
    engine, exchange = kind_of(folder), recorded(name, folder)
    if exchange.path == engine.models_path:
        assert engine.read_models(exchange.body)[0]


@pytest.mark.parametrize("folder", FOLDERS, ids=label)
def test_its_page_tells_idle_from_busy(folder: Path) -> None:
    """Work in flight is told, and that something was done between two readings."""
    engine = kind_of(folder)
    pages = sorted(folder.glob("metrics*-idle.txt"))
    assert bool(pages) == (engine.metrics_path is not None)
    for page in pages:
        later = page.with_name(page.name.replace("-idle", "-busy"))
        idle, busy = (
            engine.counters(read_page(one.read_bytes(), names=engine.metric_names))
            for one in (page, later)
        )
        assert idle.pending == 0
        assert busy.pending is not None
        assert busy.pending > 0
        assert progress(idle, busy) is True


REFUSALS = {
    "llamacpp-b11434": {"error-no-prompt": Blame.CANARY},
    "trtllm-written": {"error-validation": Blame.CANARY, "error-failed": Blame.ENGINE},
    "tgi-written": {
        "error-full": Blame.LOAD,
        "error-failed": Blame.ENGINE,
        "error-in-stream": Blame.ENGINE,
        "error-validation": Blame.CANARY,
    },
    "triton-written": {
        "error-in-stream": Blame.ENGINE,
        "error-input": Blame.CANARY,
        "error-shape": Blame.CANARY,
        "error-model": Blame.CANARY,
    },
    "ollama-written": {
        "error-full": Blame.LOAD,
        "error-model": Blame.CANARY,
        "error-failed": Blame.ENGINE,
        "error-in-stream": Blame.ENGINE,
        "error-only-loaded": Blame.ENGINE,
    },
}


@pytest.mark.parametrize(
    ("folder", "name", "blame"),
    [(folder, name, blame) for folder, rows in REFUSALS.items() for name, blame in rows.items()],
)
def test_its_errors_blame_whom_they_should(folder: str, name: str, blame: Blame) -> None:
    """A full queue is nobody's fault, a wrong question is ours, a failed generation is its own."""
    exchange = recorded(name, FIXTURES / folder)
    answer = read(
        kind_of(FIXTURES / folder), exchange.body, status=exchange.status, headers=exchange.headers
    )
    assert answer.failure is not None
    assert answer.failure.blame is blame
    assert not answer.passed


@pytest.mark.parametrize("name", ["error-shape", "error-input"])
def test_tritons_other_backend_is_asked_in_its_own_shape(name: str) -> None:
    """A model with other inputs does not support the question: the next one is put."""
    exchange = recorded(name, FIXTURES / "triton-written")
    answer = read(
        engine_named("triton"), exchange.body, status=exchange.status, headers=exchange.headers
    )
    assert answer.failure is not None
    assert answer.failure.unsupported


def test_a_model_that_ollama_only_loaded_brought_nothing() -> None:
    """It ends with `load`, which is no token."""
    exchange = recorded("error-only-loaded", FIXTURES / "ollama-written")
    answer = read(engine_named("ollama"), exchange.body, headers=exchange.headers)
    assert answer.failure is not None
    assert answer.failure.fault is CanaryFault.EMPTY


def test_an_ensemble_is_asked_before_its_parts() -> None:
    """Triton lists every model that is loaded; the parts take other inputs."""
    exchange = recorded("models", FIXTURES / "triton-written")
    assert engine_named("triton").read_models(exchange.body)[:2] == ("ensemble", "tensorrt_llm_bls")


def shown_by(folder: Path) -> list[Recorded]:
    return [
        exchange
        for path in sorted(folder.glob("*.json"))
        if (exchange := recorded(path.stem, folder)).method == "GET"
    ]


@pytest.mark.parametrize(
    "folder", [one for one in FOLDERS if shown_by(one) or any(one.glob("metrics*"))], ids=label
)
def test_it_is_recognised_by_what_it_shows(folder: Path) -> None:
    """By its own pages, whatever the rest of its paths say; and it says how it knew."""
    engine = kind_of(folder)
    pages = {one.path: one for one in shown_by(folder)}
    metrics = folder / "metrics-busy.txt"
    here = metrics.exists() and engine.metrics_port is None
    seen: list[Sighting] = []
    while paths := next_paths(seen):
        for path in paths:
            if (one := pages.get(path)) is not None:
                seen.append(Sighting(path, one.status, one.headers, one.body))
            elif here and path == engine.metrics_path:
                seen.append(Sighting(path, 200, {}, metrics.read_bytes()))
            else:
                seen.append(Sighting(path, 404, {}, b'{"detail":"Not Found"}'))
        assert len(seen) < 20, "a few cheap requests"
    finding = recognised(seen)
    assert finding.name == engine.name, str(finding)
    assert str(finding).startswith(f"{engine.name}: /")
