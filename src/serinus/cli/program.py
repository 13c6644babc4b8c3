"""`main`: find the verb, let it work, turn its errors into messages and exit codes."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence

from serinus.cli.verbs import VERBS
from serinus.errors import SerinusError

__all__ = ["main"]

ABOUT = (
    "Serinus says whether an LLM inference worker can really serve, by proof (tokens) and not by"
    " politeness (an HTTP 200)."
)
_FLAG = re.compile(r"--[a-z][a-z-]+")
EPILOG = """\
`serinus VERB --help` explains a verb.

exit codes: 0 done · 2 wrong command line, settings or surroundings · 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv`, the process's own if None; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(words)
        sys.stdout.flush()
    except SystemExit as end:  # argparse: 0 after --help, 2 after a wrong command line
        return end.code if isinstance(end.code, int) else 2
    except SerinusError as error:
        for note in getattr(error, "__notes__", ()):
            print(f"serinus: warning: {note}", file=sys.stderr)
        print(f"serinus: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has gone (`serinus config show | head`). Python would complain once more when
        # it flushes at exit, so give it somewhere to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as the shell says it of a process that SIGPIPE ended
    return code


def _run(words: Sequence[str]) -> int:
    named = next((word for word in words if not word.startswith("-")), None)
    parser = argparse.ArgumentParser(
        prog="serinus",
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    chosen = parser
    verbs = parser.add_subparsers(metavar="VERB", title="verbs", required=True)
    for verb in VERBS:
        below = verbs.add_parser(
            verb.name,
            help=verb.summary,
            description=verb.summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if verb.name == named:  # the others' modules are not worth importing now
            module = verb.load()
            module.add_arguments(below)
            below.set_defaults(run=module.run)
            chosen = below
    if not words:
        parser.print_help(sys.stderr)
        return 2
    arguments, strange = parser.parse_known_args(words)
    if strange:
        parser.error(f"unrecognized arguments: {_strange(strange, chosen)}")
    code: int = arguments.run(arguments)
    return code


def _strange(words: Sequence[str], verb: argparse.ArgumentParser) -> str:
    """Name flags that a verb does not have, and the one that may be meant.

    What follows a flag is not shown: it may be a key.
    """
    from serinus.settings.wording import nearest  # noqa: PLC0415 - only a misspelt flag pays for it

    flags = [word.partition("=")[0] for word in words if word.startswith("-")]
    if not flags:
        return " ".join(words)
    guess = nearest(flags[0], sorted(set(_FLAG.findall(verb.format_help()))))
    said = f"did you mean {guess}?" if guess else f"accepted: those of {verb.prog} --help"
    return f"{' '.join(flags)}; {said}"


class _Version(argparse.Action):
    """Print the installed version."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415 - a probe must not pay for it

        print(f"serinus {version('serinus')}")
        parser.exit()
