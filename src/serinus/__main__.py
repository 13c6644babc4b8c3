"""`python -m serinus`, where the command `serinus` is not on the path."""

from __future__ import annotations

import sys

from serinus.cli.program import main

if __name__ == "__main__":
    sys.exit(main())
