#!/usr/bin/env bash
# Tests the image and the files of deploy/ with Docker: `make test-images`.
#
# Builds the image from a static binary, pulls nothing, and runs stories.sh against it. Docker's engine runs in namespaces
# made for it (network, mounts, processes), with folders of its own: it affects no other engine, port or firewall of the
# machine, and ends with this script. As root on a machine with apt, missing programs are installed. Without Docker, one
# line gives the reason, and nothing is tested (DOHLE_IMAGES=required makes that an error).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/target/images
mkdir -p "$work"

skip() {
  echo "images: not tested: $*"
  [ "${DOHLE_IMAGES:-}" = required ] && exit 1
  exit 0
}

# What deploy/ holds beside images needs no Docker.
"$here/deployments.sh"

[ "$(uname -s)" = Linux ] || skip "containers need Linux"
[ "$(id -u)" = 0 ] || skip "an engine of our own needs root"
missing=()
need() { # need PROGRAM PACKAGE
  command -v "$1" >/dev/null || missing+=("$2")
}
need dockerd docker.io
need docker docker.io
need docker-compose docker-compose
need iptables iptables
need ip iproute2
need musl-gcc musl-tools
need busybox busybox-static
need bash-static bash-static
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || skip "please install: ${missing[*]}"
  echo "images: installing ${missing[*]}"
  apt-get update -qq || skip "apt has no packages: ${missing[*]} are missing"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    skip "could not install ${missing[*]}"
fi
unshare --net --mount --pid --fork --kill-child true 2>"$work/unshare.log" ||
  skip "this machine makes no namespaces: $(tail -1 "$work/unshare.log")"
"$root/deploy/image.sh" toolchain || skip "the static binary cannot be built here"

# Sockets have short paths only, so not below target/.
engine=$(mktemp -d /tmp/dohle-engine.XXXXXX)
cleanup() {
  rm -rf "$engine" "$work/engine"
  # The engine's groups are empty once its containers are gone.
  find /sys/fs/cgroup -depth -type d -path "*/${engine##*/}*" -exec rmdir {} + 2>/dev/null || true
}
trap cleanup EXIT
echo "images: building the static binary"
binary=$("$root/deploy/image.sh" binary)
export DOHLE_BINARY=$binary ENGINE=$engine WORK=$work
export NODE_PATH=${NODE_PATH:-$root/target/compat/node/node_modules}
unshare --net --mount --pid --fork --kill-child "$here/engine.sh" "$here/stories.sh" ${DOHLE_STORIES:-}
