#!/usr/bin/env bash
# Runs a command with a Docker engine of its own. First process of its namespaces: what it leaves running ends with it.
# Needs WORK and ENGINE, folders for the engine's data and for its sockets.
set -euo pipefail
ip link set lo up
mount -t proc proc /proc
mkdir -p "$WORK/engine"
DOCKER_HOST=unix://$ENGINE/docker.sock
export DOCKER_HOST DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0
dockerd --host "$DOCKER_HOST" --data-root "$WORK/engine" --exec-root "$ENGINE/exec" --pidfile "$ENGINE/docker.pid" \
  --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/${ENGINE##*/}" >"$WORK/engine.log" 2>&1 &
for _ in {1..300}; do
  docker version >/dev/null 2>&1 && break
  if ! kill -0 $! 2>/dev/null; then
    echo "images: not tested: Docker's engine does not start here: $(tail -1 "$WORK/engine.log")"
    [ "${DOHLE_IMAGES:-}" = required ] && exit 1
    exit 0
  fi
  sleep 0.1
done
status=0
"$@" || status=$?
kill %1 2>/dev/null && wait %1 2>/dev/null || true
exit "$status"
