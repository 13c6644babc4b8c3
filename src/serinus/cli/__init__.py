"""The command `serinus`: one verb, one file.

To add a verb, write a module `serinus/cli/<verb>.py` with two functions and add its line to
`VERBS` in `verbs.py`:

- `add_arguments(parser)` adds its arguments to an `argparse.ArgumentParser`, and its own sub-verbs
  if it has any. The parser already has the verb's summary; set `parser.epilog` for examples and
  for exit codes other than those below.
- `run(arguments)` does the work and returns the exit code. Raise a SerinusError for everything
  that the user can put right: it becomes `serinus: error: …` and exit code 2. An async verb calls
  `asyncio.run` in there.

A verb's module is imported only when the verb is named, so its imports cost nobody else. Settings
become flags by `add_setting_flags(parser)` and are settled by `loaded(arguments)`, both in
`flags.py`. The options of a verb are never abbreviated.

Exit codes, unless a verb says otherwise: 0 done, 2 a wrong command line or setting or any other
SerinusError, 130 interrupted by the keyboard.
"""

from __future__ import annotations

from serinus.cli.program import main

__all__ = ["main"]
