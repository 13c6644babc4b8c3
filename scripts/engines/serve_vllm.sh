#!/bin/bash
# Serves the tiny model with real vLLM on CPU, on loopback:  serve_vllm.sh PORT [flag of "vllm serve" …]
# Install first: install_vllm.sh. MODEL names another folder, ENGINES_DIR another place.
set -euo pipefail

engines="${ENGINES_DIR:-$HOME/.cache/serinus/engines}"
model="${MODEL:-$engines/models/tiny}"
[ $# -ge 1 ] || { echo "usage: serve_vllm.sh PORT [flag of 'vllm serve' …]" >&2; exit 2; }
port="$1"
shift
[ -x "$engines/vllm/venv/bin/vllm" ] || { echo "No vLLM in $engines: run scripts/engines/install_vllm.sh" >&2; exit 1; }

# Small and quiet: 1 GiB for keys and values, one thread and no pinning (the machine is shared),
# no look-ups on the model hub, no usage reports.
export VLLM_CPU_KVCACHE_SPACE="${VLLM_CPU_KVCACHE_SPACE:-1}"
export VLLM_CPU_OMP_THREADS_BIND="${VLLM_CPU_OMP_THREADS_BIND:-nobind}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1

# --enforce-eager: compiling would take longer than the whole test. Later flags win.
exec "$engines/vllm/venv/bin/vllm" serve "$model" --served-model-name tiny \
  --host 127.0.0.1 --port "$port" --max-model-len 2048 --max-num-seqs 8 --enforce-eager "$@"
