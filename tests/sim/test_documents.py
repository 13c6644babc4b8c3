"""The simulator's page keeps up with the simulator."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from serinus.cli import sim
from serinus.sim.faults import Fault, parse_plan

PAGE = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text()


def test_the_page_has_a_row_for_every_fault() -> None:
    """And for none that does not exist: each first cell is a fault as it is written."""
    table = PAGE.partition("| fault |")[2].partition("\n\n")[0]
    written = re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)
    assert {parse_plan(text).fault for text in written} == set(Fault)


def test_every_command_of_the_page_is_accepted() -> None:
    """Flags and faults in the shell blocks are read as the program reads them."""
    lines = re.findall(r"^serinus sim(.*)$", PAGE, re.MULTILINE)
    commands = [line.split() for line in lines if not line.startswith(":")]
    assert len(commands) >= 3
    for words in commands:
        parser = argparse.ArgumentParser(exit_on_error=False)
        sim.add_arguments(parser)
        sim.options_of(parser.parse_args(words))
