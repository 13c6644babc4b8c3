#!/bin/bash
# Serves the tiny model with llama.cpp's llama-server on CPU, on loopback:
#   serve_llamacpp.sh PORT [flag of llama-server …]
# Install first: install_llamacpp.sh. MODEL names another file, ENGINES_DIR another place.
set -euo pipefail

engines="${ENGINES_DIR:-$HOME/.cache/serinus/engines}"
model="${MODEL:-$engines/models/tiny.gguf}"
server="$engines/llamacpp/build/bin/llama-server"
[ $# -ge 1 ] || { echo "usage: serve_llamacpp.sh PORT [flag of llama-server …]" >&2; exit 2; }
port="$1"
shift
[ -x "$server" ] || { echo "No llama-server in $engines: run scripts/engines/install_llamacpp.sh" >&2; exit 1; }

# 8 requests at once of 2048 tokens each, as the vLLM beside this one; one thread, for the machine is
# shared. Without --metrics and --slots it tells nothing of its work. Later flags win.
exec "$server" --model "$model" --alias tiny --host 127.0.0.1 --port "$port" --ctx-size 16384 \
  --parallel 8 --threads 1 --metrics --slots --no-webui "$@"
