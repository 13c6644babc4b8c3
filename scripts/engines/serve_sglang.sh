#!/bin/bash
# Serves the tiny model with SGLang on CPU, on loopback:  serve_sglang.sh PORT [flag of launch_server …]
# Install first: install_sglang.sh. MODEL names another folder, ENGINES_DIR another place.
set -euo pipefail

engines="${ENGINES_DIR:-$HOME/.cache/serinus/engines}"
model="${MODEL:-$engines/models/tiny}"
[ $# -ge 1 ] || { echo "usage: serve_sglang.sh PORT [flag of sglang.launch_server …]" >&2; exit 2; }
port="$1"
shift
[ -x "$engines/sglang/venv/bin/python" ] || { echo "No SGLang in $engines: run scripts/engines/install_sglang.sh" >&2; exit 1; }

# One thread (the machine is shared), and no look-ups on the model hub.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" SGLANG_USE_CPU_ENGINE=1
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1

# Everything that has kernels of its own is off, and so is what takes long to start. 8 requests run at
# once, as the vLLM beside this one does. Later flags win.
exec "$engines/sglang/venv/bin/python" -m sglang.launch_server --model-path "$model" \
  --served-model-name tiny --host 127.0.0.1 --port "$port" --device cpu --dtype float32 \
  --attention-backend torch_native --sampling-backend pytorch --grammar-backend none \
  --context-length 2048 --max-total-tokens 8192 --max-running-requests 8 --mem-fraction-static 0.1 \
  --disable-overlap-schedule --disable-cuda-graph --skip-server-warmup --enable-metrics "$@"
