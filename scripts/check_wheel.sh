#!/bin/bash
# Builds the wheel and tries it as a stranger would: in an empty environment, with no index to
# fetch anything from, so that a dependency of the bare install would stop it.
# Usage: check_wheel.sh PYTHON, an interpreter that has "build" and setuptools.
set -euo pipefail

python="${1:?usage: check_wheel.sh PYTHON}"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

# Straight from the tree: what setuptools left in build/ by an earlier run could leak in otherwise.
rm -rf "$root/build" "$root/dist"
"$python" -m build --no-isolation --outdir "$root/dist" "$root" >"$scratch/build.log" 2>&1 ||
  { tail -40 "$scratch/build.log" >&2; exit 1; }

"$python" -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-index "$root"/dist/*.whl
cd "$scratch" # so that "import serinus" cannot find the source tree
venv/bin/serinus --version
venv/bin/python -W error -c 'import serinus; print("import serinus:", serinus.__file__)'

shipped="$(ls "$root"/src/serinus/replay/traces | grep -c '[.]trace[.]gz$' || true)"
[ "$(venv/bin/serinus replay --list | grep -c . || true)" = "$shipped" ] ||
  { echo "The wheel lacks some of the $shipped recorded traces" >&2; exit 1; }

strangers="$(venv/bin/pip list --format freeze | grep -vE '^(pip|setuptools|serinus)==' || true)"
[ -z "$strangers" ] || { echo "The bare install brought in: $strangers" >&2; exit 1; }
ls -l "$root"/dist/
