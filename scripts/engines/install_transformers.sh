#!/bin/bash
# Installs `transformers serve` for CPU with a tiny random model beside it, once:
#   $ENGINES_DIR/transformers/venv        the environment (1.2 GB)
#   $ENGINES_DIR/transformers/complete    written last: without it, or after the pins in
#                                         requirements/engines/transformers.txt change, it is rebuilt
#   $ENGINES_DIR/models/tiny              the model, made on the spot
#
#   ENGINES_DIR    default ~/.cache/serinus/engines
#   TORCH_PIP_ARGS more arguments for pip, such as the --extra-index-url of PyTorch's CPU builds.
#                  Without them pip may pick a CUDA build: larger, no faster.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
engines="${ENGINES_DIR:-$HOME/.cache/serinus/engines}"
home="$engines/transformers"
pins="$(cd "$here/../../requirements/engines" && pwd)/transformers.txt"
# shellcheck source=scripts/engines/pinned.sh
. "$here/pinned.sh"

lock
if ! is_marked; then
  echo "Installing transformers $(sed -n 's/^transformers==//p' "$pins") into $home/venv (a minute, 1.2 GB) …"
  make_environment
  HF_HUB_OFFLINE=1 "$home/venv/bin/transformers" serve --help >/dev/null 2>"$home/import.log" || {
    tail -20 "$home/import.log" >&2
    echo "transformers was installed into $home/venv but does not serve" >&2
    exit 1
  }
  mark
fi
make_model

echo "transformers $(sed -n 's/^transformers==//p' "$pins"): $home/venv/bin/transformers serve, model: $engines/models/tiny"
