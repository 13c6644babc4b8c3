#!/bin/bash
# Builds a real Kubernetes control plane for the tests, once, from Debian's source package (which
# holds every dependency), with Debian's Go and without fetching anything else:
#   $KUBERNETES_DIR/bin/kube-apiserver, kube-controller-manager
#   $KUBERNETES_DIR/complete      written last, names the source: without it the build is taken up again
#
# Three to five minutes on two processors and 2.1 GB of disk meanwhile, 204 MB afterwards. What an
# interrupted call compiled is kept for the next one. Two calls at the same time wait for each other.
# Needs Debian 12, whose package is Kubernetes 1.20.2; missing packages are installed where we are root.
#
#   KUBERNETES_DIR   default ~/.cache/serinus/kubernetes
#   JOBS             how many packages to compile at once (default: one a processor)
#   build.sh --check only say whether the build is at hand (status 0) or not (1)
set -euo pipefail

home="${KUBERNETES_DIR:-$HOME/.cache/serinus/kubernetes}"
recipe="1.20.2 of bookworm, reflect2 of Debian" # change it with the steps below: every build is made anew
commands=(kube-apiserver kube-controller-manager)
go=/usr/lib/go-1.19/bin
reflect2=/usr/share/gocode/src/github.com/modern-go/reflect2
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

is_whole() {
  local command
  [ "$(cat "$home/complete" 2>/dev/null)" = "$recipe" ] || return 1
  for command in "${commands[@]}"; do [ -x "$home/bin/$command" ] || return 1; done
  command -v etcd openssl >/dev/null
}

stop() {
  echo "$0: $*" >&2
  exit 1
}

# The package that a path belongs to is installed unless the path is there.
install_packages() {
  local missing=() pair
  for pair in etcd-server:/usr/bin/etcd openssl:/usr/bin/openssl golang-1.19-go:$go/go \
    dpkg-dev:/usr/bin/dpkg-source golang-github-modern-go-reflect2-dev:$reflect2/safe_type.go; do
    [ -e "${pair#*:}" ] || missing+=("${pair%%:*}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" -eq 0 ] || stop "missing packages; as root: apt-get install ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt_install() { apt-get install -qq --no-install-recommends "${missing[@]}" </dev/null >"$home/apt.log" 2>&1; }
  apt_install || { apt-get update -qq >"$home/apt.log" 2>&1 && apt_install; } ||
    { tail -20 "$home/apt.log" >&2; stop "apt-get could not install ${missing[*]}"; }
}

# Lists of sources of our own: the machine's are left as they are.
fetch_source() {
  local lists="$work/apt" sources
  sources="$(apt-get indextargets --format "deb-src [signed-by=$keyring] \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" \
    'Created-By: Packages' 'Origin: Debian' | grep -E ' bookworm(-security|-updates)? main$' | sort -u)" ||
    stop "apt knows no main section of bookworm (apt-get update?)"
  mkdir -p "$lists/lists/partial" "$lists/archives/partial" "$work/source"
  printf '%s\n' "$sources" >"$lists/sources.list"
  local options=(-o Dir::Etc::sourcelist="$lists/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$lists/lists" -o Dir::Cache="$lists" -o APT::Sandbox::User=root)
  (
    cd "$work/source"
    apt-get -qq "${options[@]}" update && apt-get -qq "${options[@]}" --only-source source kubernetes
  ) </dev/null >"$work/apt.log" 2>&1 || { tail -20 "$work/apt.log" >&2; stop "no source package kubernetes"; }
  mkdir -p "$tree"
  mv "$work"/source/kubernetes-*/* "$tree/"
}

# Debian's source lacks pkg/generated/openapi: it is made from every package with the generator's mark.
generate_openapi() {
  local inputs
  go build -p "$jobs" -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  inputs="$(find -L vendor/k8s.io pkg cmd plugin -name '*.go' ! -name '*_test.go' ! -path '*/testdata/*' \
    ! -path '*/code-generator/*' ! -path '*/sample-apiserver/*' ! -path '*/vendor/k8s.io/*/vendor/*' \
    -exec grep -l '+k8s:openapi-gen=' {} + | xargs -n1 dirname | LC_ALL=C sort -u |
    sed 's|^|k8s.io/kubernetes/|' | paste -sd,)"
  "$work/openapi-gen" --logtostderr --v 0 -i "$inputs" -p k8s.io/kubernetes/pkg/generated/openapi \
    -O zz_generated.openapi -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt \
    -r "$work/violations" -o "$work/go/src"
}

build() {
  local command version=k8s.io/kubernetes/vendor/k8s.io/component-base/version
  export PATH="$go:$PATH" GOPATH="$work/go" GOCACHE="$home/compiled" GO111MODULE=off GOPROXY=off
  export GOFLAGS=-trimpath CGO_ENABLED=0
  unset GOROOT GOOS GOARCH GOBIN
  cd "$tree"
  # The one that it carries (1.0.1) crashes with Go 1.18 and newer at the first custom resource.
  rm -rf vendor/github.com/modern-go/reflect2
  cp -r "$reflect2" vendor/github.com/modern-go/reflect2
  generate_openapi
  for command in "${commands[@]}"; do
    go build -p "$jobs" -o "$work/$command" \
      -ldflags "-s -w -X $version.gitVersion=v1.20.2 -X $version.gitMajor=1 -X $version.gitMinor=20" \
      "./cmd/$command"
    [ "$("$work/$command" --version)" = "Kubernetes v1.20.2" ] || stop "$command was built and does not run"
    mv "$work/$command" "$home/bin/$command"
  done
}

if [ "${1-}" = --check ]; then
  is_whole
  exit
fi
mkdir -p "$home/bin"
exec 9>"$home/lock"
flock 9
if ! is_whole; then
  grep -q '^VERSION_CODENAME=bookworm$' /etc/os-release || stop "only Debian 12 (bookworm) has the source package"
  [ "$(df --output=avail --block-size=1M "$home" | tail -1)" -ge 3000 ] || stop "$home needs 3000 MB for a while"
  echo "Building Kubernetes 1.20.2 in $home (three to five minutes on two processors) …"
  jobs="${JOBS:-$(nproc)}"
  work="$home/work"
  tree="$work/go/src/k8s.io/kubernetes"
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT TERM HUP
  rm -rf "$work" "$home/complete"
  install_packages
  fetch_source
  set +e # a subshell before || would not stop at its first failure
  (set -e; build) >"$home/build.log" 2>&1
  status="$?"
  set -e
  [ "$status" -eq 0 ] || { tail -20 "$home/build.log" >&2; stop "not built; $home/build.log"; }
  rm -rf "$home/compiled" "$work"
  echo "$recipe" >"$home/complete.unfinished"
  mv "$home/complete.unfinished" "$home/complete"
fi
echo "Kubernetes 1.20.2: $home/bin"
