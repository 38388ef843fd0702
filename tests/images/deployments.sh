#!/usr/bin/env bash
# Checks the manifests and the unit of deploy/ against what reads them: Kubernetes' schemas, systemd.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/target/images
python=$work/python
mkdir -p "$work"
# The oldest and the newest version that are checked.
kubernetes_versions="1.28 1.34"

validator() {
  [ -x "$python/bin/kubernetes-validate" ] && return
  if ! python3 -m venv "$python" >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
    python3 -m venv "$python"
  fi
  "$python/bin/pip" install --quiet kubernetes-validate==1.37.0
}
if validator >/dev/null 2>"$work/python.log"; then
  for version in $kubernetes_versions; do
    "$python/bin/kubernetes-validate" --strict --quiet --kubernetes-version "$version" "$root"/deploy/kubernetes/*.yaml
  done
  echo "ok: deploy/kubernetes fits the schemas of Kubernetes $kubernetes_versions"
else
  echo "deployments: manifests not checked: kubernetes-validate can't be had: $(tail -1 "$work/python.log")"
fi

if command -v systemd-analyze >/dev/null; then
  unit=$(mktemp -d)
  # systemd checks that the program exists.
  sed "s#^ExecStart=[^ ]*#ExecStart=$(command -v true)#" "$root/deploy/systemd/dohle.service" >"$unit/dohle.service"
  systemd-analyze verify "$unit/dohle.service"
  rm -rf "$unit"
  echo "ok: systemd takes deploy/systemd/dohle.service"
else
  echo "deployments: the unit is not checked: there is no systemd-analyze"
fi
