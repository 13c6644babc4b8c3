"""The list of verbs, and what each one's module must have."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import NamedTuple, Protocol, cast

__all__ = ["VERBS", "Verb", "VerbModule"]


class VerbModule(Protocol):
    """What a verb's module has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the exit code."""


class Verb(NamedTuple):
    """A verb, the module that does it, and one line for `--help`."""

    name: str
    module: str
    summary: str

    def load(self) -> VerbModule:
        """Import the verb's module."""
        return cast("VerbModule", import_module(self.module))


VERBS = (
    Verb("run", "serinus.cli.run", "Watch an engine with faults to try, and see what happens."),
    Verb("sidecar", "serinus.cli.sidecar", "Watch engines that are served by somebody else."),
    Verb("frontend", "serinus.cli.frontend", "Show one view of a whole fleet, over HTTP."),
    Verb("check", "serinus.cli.check", "Say by the exit code whether a worker is ready or live."),
    Verb("lease", "serinus.cli.lease", "Announce a planned pause: take, renew, release, list."),
    Verb("config", "serinus.cli.config", "Show, check and explain the settings."),
    Verb("reference", "serinus.cli.reference", "Learn right answers to prompts, or compare."),
    Verb("record", "serinus.cli.record", "Record evidence to a file, mark it, and show it."),
    Verb("replay", "serinus.cli.replay", "Try other settings on recorded evidence."),
    Verb("tune", "serinus.cli.tune", "Search the settings that recorded evidence asks for."),
    Verb("engines", "serinus.cli.engines", "Say what is known of each kind of engine."),
    Verb("simulate", "serinus.cli.simulate", "Run the judge through seeded faults, in memory."),
    Verb("sim", "serinus.cli.sim", "Simulate an inference engine, with faults to try settings on."),
)
