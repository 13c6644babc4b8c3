# Sourced by the installers of engines whose environment is pinned whole. Not run by itself.
#
# Before: `here` is this folder, `home` the engine's own, `pins` the file with every version.
# A copy of the pins, written last, is the mark of a whole installation: without it, or after the
# pins change, the next call makes it again. Two calls at the same time wait for each other.

# lock: wait until nobody else installs this engine.
lock() {
  mkdir -p "$home" "$engines/models"
  exec 9>"$home/lock"
  flock 9
}

# is_marked: the installation is whole, and of these pins.
is_marked() { cmp -s "$home/complete" "$pins"; }

mark() {
  cp "$pins" "$home/complete.unfinished"
  mv "$home/complete.unfinished" "$home/complete"
}

# make_environment: an environment with exactly what the pins name. Nothing is resolved
# (--no-deps): a resolver would bring in CUDA builds of torch's family.
make_environment() {
  local python
  python="$("$here/../find_python.sh")"
  rm -rf "$home/complete" "$home/venv"
  "$python" -m venv "$home/venv"
  # shellcheck disable=SC2086  # several arguments in one variable, on purpose
  "$home/venv/bin/pip" install --quiet --no-deps --requirement "$pins" ${TORCH_PIP_ARGS:-}
}

# make_model: the tiny model that the engines share, made with this engine's torch.
make_model() {
  local model="$engines/models/tiny" unfinished="$engines/models/.tiny.unfinished"
  exec 8>"$engines/models/lock"
  flock 8
  if [ ! -d "$model" ]; then
    rm -rf "$unfinished"
    HF_HUB_OFFLINE=1 "$home/venv/bin/python" "$here/make_tiny_model.py" "$unfinished"
    mv "$unfinished" "$model"
  fi
  exec 8>&-
}
