"""A pytest plugin that runs the Python blocks of README.md and docs/*.md.

    python -m pytest -p scripts.documents -p no:randomly README.md docs

The blocks of one document share one namespace and run in their order. Every ```python block
is run, unless the block stands right after a comment that says why it is not:

    <!-- not run: needs a GPU -->

Blocks in other languages are for reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sybil import Document, Example, Region, Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

EXCUSE = re.compile(r"<!--\s*not run:(?P<reason>[^>]*?)\s*-->\s*\Z")


def excused_or_run(document: Document) -> Iterator[Region]:
    """Each Python block, to be skipped with its reason if an excuse stands before it."""
    for region in PythonCodeBlockParser()(document):
        excuse = EXCUSE.search(document.text, 0, region.start)
        if excuse is None:
            yield region
        elif reason := excuse["reason"].strip():
            yield Region(region.start, region.end, reason, skip)
        else:
            line = document.text.count("\n", 0, region.start) + 1
            raise ValueError(f"{document.path}:{line}: 'not run:' needs a reason")


def skip(example: Example) -> None:
    """Report the block as skipped; what was parsed of it is the reason."""
    pytest.skip(f"{Path(example.path).name}:{example.line}: {example.parsed}")


pytest_collect_file = Sybil(
    path=str(Path(__file__).parent.parent),
    parsers=[excused_or_run],
    patterns=["README.md", "docs/*.md"],
).pytest()
