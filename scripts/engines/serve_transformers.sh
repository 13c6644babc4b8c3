#!/bin/bash
# Serves the tiny model with `transformers serve` on CPU, on loopback:
#   serve_transformers.sh PORT [flag of "transformers serve" …]
# Install first: install_transformers.sh. MODEL names another folder, ENGINES_DIR another place.
#
# It calls a model by the folder that it is started with: the folder's parent is made the current one,
# so that the model is called "tiny" here too.
set -euo pipefail

engines="${ENGINES_DIR:-$HOME/.cache/serinus/engines}"
model="${MODEL:-$engines/models/tiny}"
[ $# -ge 1 ] || { echo "usage: serve_transformers.sh PORT [flag of 'transformers serve' …]" >&2; exit 2; }
port="$1"
shift
[ -x "$engines/transformers/venv/bin/transformers" ] || { echo "No transformers in $engines: run scripts/engines/install_transformers.sh" >&2; exit 1; }

# One thread (the machine is shared), and no look-ups on the model hub.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1

cd "$(dirname "$model")"
exec "$engines/transformers/venv/bin/transformers" serve "$(basename "$model")" --device cpu \
  --host 127.0.0.1 --port "$port" --log-level info "$@"
