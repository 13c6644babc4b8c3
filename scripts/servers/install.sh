#!/bin/bash
# Installs the servers that the tests of discovery start: etcd, from the system's packages, where it
# is not there yet. NATS comes with the development environment (requirements/dev.txt).
set -euo pipefail

if ! command -v etcd >/dev/null; then
  command -v apt-get >/dev/null || {
    echo "The tests of discovery need etcd 3.4 or newer in PATH; install it and try again" >&2
    exit 1
  }
  sudo=""
  [ "$(id -u)" -eq 0 ] || sudo="sudo"
  echo "Installing etcd …"
  # A policy of 101 keeps the package from starting a server of its own.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
    $sudo chmod +x "$policy"
    trap '$sudo rm -f "$policy"' EXIT
  fi
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends etcd-server >/dev/null
fi
etcd --version | sed -n 1p
