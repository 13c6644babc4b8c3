#!/bin/bash
# Installs SGLang for CPU with a tiny random model beside it, once:
#   $ENGINES_DIR/sglang/venv        the environment (3.4 GB)
#   $ENGINES_DIR/sglang/complete    written last: without it, or after the pins in
#                                   requirements/engines/sglang.txt change, the rest is rebuilt
#   $ENGINES_DIR/models/tiny        the model, made on the spot
#
# SGLang's compiled kernels are built for CUDA only: sgl_kernel_stand_in.py takes their place, and
# plain torch computes. Say so wherever a result is quoted.
#
#   ENGINES_DIR    default ~/.cache/serinus/engines
#   TORCH_PIP_ARGS more arguments for pip, such as the --extra-index-url of PyTorch's CPU builds.
#                  Without them pip may pick a CUDA build: larger, no faster.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
engines="${ENGINES_DIR:-$HOME/.cache/serinus/engines}"
home="$engines/sglang"
pins="$(cd "$here/../../requirements/engines" && pwd)/sglang.txt"
# shellcheck source=scripts/engines/pinned.sh
. "$here/pinned.sh"

# The pinned torchvision has no CPU build either. SGLang imports it even for text models, and on a CPU
# torch that import stops at two operators which its compiled part would have declared: they are
# declared in its first line, and never called.
declare_operators() {
  local file="$1/torchvision/__init__.py"
  local line='import torch as _t; _declared = _t.library.Library("torchvision", "FRAGMENT");'
  line+=' [_declared.define(n + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")'
  line+=' for n in ("nms", "qnms")]'
  sed -i "1i $line" "$file"
}

lock
if ! is_marked; then
  version="$(sed -n 's/^sglang==//p' "$pins")"
  echo "Installing SGLang $version into $home/venv (two minutes, 3.4 GB) …"
  make_environment
  packages="$("$home/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')"
  declare_operators "$packages"
  cp "$here/sgl_kernel_stand_in.py" "$packages/sgl_kernel.py"
  SGLANG_USE_CPU_ENGINE=1 HF_HUB_OFFLINE=1 "$home/venv/bin/python" -c \
    'import sgl_kernel, torchvision, sglang.srt.entrypoints.http_server' 2>"$home/import.log" || {
    tail -20 "$home/import.log" >&2
    echo "SGLang was installed into $home/venv but does not import" >&2
    exit 1
  }
  mark
fi
make_model

echo "SGLang $(sed -n 's/^sglang==//p' "$pins"): $home/venv/bin/python -m sglang.launch_server, model: $engines/models/tiny"
