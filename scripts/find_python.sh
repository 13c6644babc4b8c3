#!/bin/bash
# Prints the first Python that Serinus can start from (3.11 or newer), or says what is missing.
# $PYTHON, when set, is the only candidate.
set -euo pipefail

candidates=(python3.11 python3.12 python3.13 python3)
[ -z "${PYTHON:-}" ] || candidates=("$PYTHON")

for candidate in "${candidates[@]}"; do
  # Run it: a version manager's shim is on the PATH even where no such version is installed.
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    command -v "$candidate"
    exit 0
  fi
done

echo "Serinus needs Python 3.11 or newer; tried: ${candidates[*]}." >&2
echo "Install one (Debian: apt-get install python3.11-venv), or name it: PYTHON=/path/to/python make …" >&2
exit 1
