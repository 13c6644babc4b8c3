"""Record how a running engine answers what Serinus asks (tests/engines/fixtures).

    record_answers.py ENGINE URL FOLDER [--model tiny]

For each question for one token `canary.json`, `canary-2.json` …, for each question for a greedy
answer `greedy.json`, `greedy-2.json` …: the question, and the answer as it came.
"""

from __future__ import annotations

import argparse
import json
import urllib.error
import urllib.request
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from serinus.engines import ENGINES, engine_named
from serinus.engines.capabilities import Transcribes
from serinus.engines.protocol import Question

PROMPT, TOKENS = "The canary in the coal mine", 3
KEPT = ("server", "content-type", "transfer-encoding")
"""Headers that are written down, if they came."""
PATIENCE = 120.0
"""Seconds for an answer: what brings log-probabilities may be compiled at its first use."""


def asked(url: str, question: Question) -> dict[str, Any]:
    """Put a question; return it with its answer, as fixtures have them."""
    request = urllib.request.Request(
        url + question.path, question.body, dict(question.headers), method=question.method
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return exchange(question, answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return exchange(question, refusal)


def exchange(question: Question, answer: HTTPResponse | urllib.error.HTTPError) -> dict[str, Any]:
    """Write an exchange down."""
    heads = {name: answer.headers[name] for name in KEPT if name in answer.headers}
    sent = {"method": question.method, "path": question.path, "json": json.loads(question.body)}
    return {
        "request": {**sent, "raw": None},
        "status": answer.status,
        "headers": heads,
        "body": answer.read().decode(),
    }


def main() -> None:
    """Record what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=[engine.name for engine in ENGINES])
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="tiny", help="what it is called (default: tiny)")
    wanted = parser.parse_args()
    engine = engine_named(wanted.engine)
    questions = {"canary": engine.alternatives(wanted.model)}
    if isinstance(engine, Transcribes):
        questions["greedy"] = engine.greedy(wanted.model, PROMPT, tokens=TOKENS)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    for kind, ways in questions.items():
        for number, question in enumerate(ways, 1):
            name = kind if number == 1 else f"{kind}-{number}"
            found = asked(wanted.url.rstrip("/"), question)
            file = wanted.folder / f"{name}.json"
            file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
            print(f"{file}: {found['status']}, {len(found['body'])} bytes", flush=True)


if __name__ == "__main__":
    main()
