"""The settings page is made from the table, and the committed one is up to date."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from serinus.settings import TABLE, load
from serinus.settings.document import page

COMMITTED = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_committed_page_is_up_to_date() -> None:
    """Make it again with `serinus config docs > docs/settings.md`."""
    assert COMMITTED.read_text() == page()


def test_the_page_has_every_setting_with_all_of_its_names() -> None:
    """Whoever greps for a variable finds it."""
    text = page()
    for row in TABLE.values():
        for name in (row.name, *row.variables, *([row.flag] if row.flag else [])):
            assert f"`{name}`" in text


def test_the_tables_of_the_page_are_tables() -> None:
    """Each row has as many cells as its head, so that Markdown shows it."""
    for table in re.findall(r"(?:^\|.*\n)+", page(), re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_example_on_the_page_is_accepted(tmp_path: Path) -> None:
    """What a page shows must work."""
    found = re.search(r"```toml\n(.*?)```", page(), re.DOTALL)
    assert found
    path = tmp_path / "serinus.toml"
    path.write_text(found[1])
    assert set(tomllib.loads(found[1])) == {
        name
        for name, origin in load(file=path, environ={}, reference_files=()).origins.items()
        if origin != "default"
    }


@pytest.mark.parametrize("name", ["kinds", "model", "strangers", "wording"])
def test_the_examples_in_docstrings_are_true(name: str) -> None:
    """An example that does not run is prose."""
    result = doctest.testmod(import_module(f"serinus.settings.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.end_to_end
def test_importing_the_settings_brings_no_parser_along() -> None:
    """`import serinus` has a budget: TOML, JSON and the guessing of names load when needed."""
    code = "import sys, serinus.settings as s; s.load(environ={}); print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert {"tomllib", "json", "difflib", "argparse"}.isdisjoint(run.stdout.split())
