#!/bin/bash
# Installs the released Dynamo runtime into an environment of its own, for the benchmarks to run
# beside Serinus. Pinned by requirements/dynamo.txt; a copy of that file, written last, is the
# mark of a whole environment: without it, or after the pins change, the environment is rebuilt.
#
#   DYNAMO_DIR   default ~/.cache/serinus/dynamo
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
venv="${DYNAMO_DIR:-$HOME/.cache/serinus/dynamo}"
pins="$root/requirements/dynamo.txt"
stamp="$venv/complete"

# Holds for a whole environment whose stamp is missing, such as one built by hand.
is_whole() {
  [ -x "$venv/bin/python" ] || return 1
  "$venv/bin/python" -c 'import dynamo.runtime' 2>/dev/null || return 1
  diff -q <("$venv/bin/pip" freeze --quiet | sort -f) <(sort -f "$pins") >/dev/null
}

mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9

if ! cmp -s "$stamp" "$pins"; then
  if ! is_whole; then
    python="$("$root/scripts/find_python.sh")"
    echo "Installing $(head -1 "$pins") into $venv …"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$pins"
    is_whole || { echo "Dynamo was installed into $venv but does not import, or other versions came." >&2; exit 1; }
  fi
  cp "$pins" "$stamp.unfinished"
  mv "$stamp.unfinished" "$stamp"
fi
echo "$(head -1 "$pins"): $venv/bin/python"
