#!/usr/bin/env bash
# Runs one suite against one server: `suite.sh SUITE SERVER`, SERVER being dohle or kafka. First process of its own
# namespaces (network, processes): what it leaves running ends with it. Called by run.sh, which prepares the suite.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
suite=$1 server=$2
work=$root/target/peers/$suite/$server
build=$root/target/peers/build
rm -rf "$work"
mkdir -p "$work"
ip link set lo up
case $server in
  dohle) SERVER=$DOHLE_BIN ;;
  kafka) SERVER=$root/tests/wire/kafka.sh ;;
esac
JARS=$root/target/compat/java/libs
export SERVER JARS

# excluded: the names (for Go, the patterns) of tests that are not run, one a line. Their reasons are comments above them.
excluded() {
  sed -E 's/[[:space:]]*#.*//' "$here/excluded/$suite.txt" 2>/dev/null | grep -v '^$' || true
}
joined() { # joined SEPARATOR: the lines of the standard input as one
  paste -sd"$1" -
}

# shellcheck source=cluster.sh
. "$here/cluster.sh"
# shellcheck disable=SC1090
. "$here/suites/$suite.sh"
if declare -F before_cluster >/dev/null; then before_cluster; fi
start_cluster
run_suite
mapfile -t pids < <(cat "$work"/node*/pid)
kill -9 "${pids[@]}"
wait "${pids[@]}" || true
rm -rf "$work"/node*/data
