"""`serinus reference`: learn an engine's right answers to fixed prompts, or compare with them."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from serinus.cli.flags import add_setting_flags, loaded
from serinus.cli.sidecar import add_engines, port_of
from serinus.core.correctness import Correctness
from serinus.errors import EngineError, SettingsError
from serinus.runtime.reference import PROMPTS, Reference, Sheet, read_prompts
from serinus.settings import Settings
from serinus.settings.table import Group

if TYPE_CHECKING:
    from serinus.sidecar.exam import Exam

__all__ = ["add_arguments", "run"]

RIGHT, WRONG, UNKNOWN = 0, 1, 2
_OMITTED = (
    "correctness_policy",
    "correctness_interval",
    "correctness_reference",
    "scrape_interval",
    "engine_death_notice",
)
EPILOG = f"""\
examples:
  serinus reference --engine vllm --url http://127.0.0.1:8000 --write reference.json
      ask each prompt several times, on an engine that is known to be right and serves nobody else
  serinus reference --engine vllm --url http://127.0.0.1:8000 --check reference.json
      ask again, and say whether the answers are the same
  serinus sidecar --url ... --correctness-policy degrade --correctness-reference reference.json
      go on comparing

Answers are kept by engine and model: several can be written into one file, one after the other.

exit codes: {RIGHT} written, or right · {WRONG} wrong
            {UNKNOWN} cannot tell: no answer, no such engine in the file, or a wrong command line
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which engine, which file, and the settings of answers."""
    parser.usage = "%(prog)s [--engine NAME] --url URL (--write FILE | --check FILE)"
    parser.epilog = EPILOG
    add_engines(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", metavar="FILE", help="learn the answers and write them")
    what.add_argument("--check", metavar="FILE", help="compare the answers with these")
    add_setting_flags(parser, groups=(Group.CORRECTNESS, Group.SIDECAR), omit=_OMITTED)


def run(arguments: argparse.Namespace) -> int:
    """Ask, and write or compare."""
    settings = loaded(arguments).settings
    try:
        return asyncio.run(_ask(arguments, settings))
    except EngineError as error:
        print(f"cannot tell: {error}")
        return UNKNOWN


async def _ask(arguments: argparse.Namespace, settings: Settings) -> int:
    # Only now, so that --help needs no extra.
    from serinus.sidecar.client import EngineClient, trusting  # noqa: PLC0415
    from serinus.sidecar.credentials import Credentials  # noqa: PLC0415
    from serinus.sidecar.exam import Exam  # noqa: PLC0415
    from serinus.sidecar.targets import read_targets  # noqa: PLC0415

    targets = read_targets(
        urls=arguments.url,
        named=arguments.target,
        engine=arguments.engine,
        metrics_port=port_of(arguments.metrics_port),
        namespace=settings.namespace,
    )
    if len(targets) > 1:
        raise SettingsError(f"{len(targets)} engines are named; accepted: one at a time")
    credentials = Credentials(settings)
    client = EngineClient(
        targets[0].place, api_key=credentials.key, trust=trusting(arguments.ca_file)
    )
    try:
        exam = Exam(targets[0], client, settings, credentials)
        if arguments.write is not None:
            return await _write(exam, settings, arguments.write)
        return await _check(exam, settings, arguments.check)
    finally:
        await client.close()


def _known(path: str) -> Mapping[str, Sheet]:
    """Return what a file has already, which stays."""
    return Reference.read(path).sheets if Path(path).exists() else {}


async def _write(exam: Exam, settings: Settings, path: str) -> int:
    known = _known(path)
    file = settings.correctness_prompts
    prompts = PROMPTS if file is None else read_prompts(file)
    tokens = settings.correctness_tokens
    engine = await exam.begin()
    correctness = await exam.learned(prompts, tokens=tokens)
    if correctness.wrong is not None:
        print(f"wrong: {engine}: {correctness.wrong.told}; nothing is written")
        return WRONG
    sheet = Sheet(tokens, dict(zip(prompts, correctness.lessons, strict=True)))
    try:
        Reference({**known, engine: sheet}).write(path)
    except OSError as error:
        raise SettingsError(f"{path}: it cannot be written: {error.strerror}") from error
    print(f"written: {engine}: {_told(correctness, settings)}; {path}")
    if not correctness.sure(settings.correctness_tolerance):
        print("  they tell nothing: no token is both reproducible and no near tie")
    return RIGHT


async def _check(exam: Exam, settings: Settings, path: str) -> int:
    sheets = Reference.read(path).sheets
    engine = await exam.begin()
    sheet = sheets.get(engine)
    if sheet is None:
        known = ", ".join(sheets) or "none"
        print(f"cannot tell: {path} has no answers of {engine}; it has those of: {known}")
        return UNKNOWN
    correctness = await exam.compared(
        tuple(sheet.lessons.values()), tuple(sheet.lessons), sheet.tokens
    )
    if correctness.wrong is not None:
        print(f"wrong: {engine}: {correctness.wrong.wrong}: {correctness.wrong.told}")
        return WRONG
    print(f"right: {engine}: {_told(correctness, settings)}")
    return RIGHT


def _told(correctness: Correctness, settings: Settings) -> str:
    lessons = correctness.lessons
    tokens = sum(len(lesson.tokens) for lesson in lessons)
    sure = correctness.sure(settings.correctness_tolerance)
    spread = max(lesson.spread for lesson in lessons)
    return (
        f"{len(lessons)} prompt(s), {tokens} token(s), {sure} of which are compared,"
        f" spread {spread:.3g}"
    )
