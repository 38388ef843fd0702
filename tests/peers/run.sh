#!/usr/bin/env bash
# Runs the test suites of Kafka client libraries against Dohle, and against Apache Kafka for comparison: `make test-peers`.
#
#     PEERS="librdkafka sarama" make test-peers     some suites; the others are librdkafka-consumer, kafka-go, franz-go and
#                                                   kafka-python
#     AGAINST=dohle make test-peers                 against Dohle alone, compared with the last results of Apache Kafka
#     TESTS="0055 0061" PEERS=librdkafka ...        some tests of a suite, in its own words
#
# The suites come from package registries (Debian's source packages, Go modules, PyPI's source archives). They run beside
# their cluster in namespaces of their own, so that ports never collide and nothing is left running. Results, logs and a
# table are in target/peers. A test that passes on Apache Kafka and fails on Dohle makes the result an error.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$root/target/peers
read -ra suites <<<"${PEERS:-librdkafka librdkafka-consumer sarama kafka-go franz-go kafka-python}"
read -ra servers <<<"${AGAINST:-dohle kafka}"
export DOHLE_BIN=${DOHLE_BIN:-$root/target/release/dohle} TESTS=${TESTS:-}
export build=$out/build
mkdir -p "$build"

missing=()
need() { # need PROGRAM PACKAGE
  command -v "$1" >/dev/null || missing+=("$2")
}
need java default-jdk-headless
need go golang
need python3 python3
need ip iproute2
need unshare util-linux
need make make
need g++ g++
need dpkg-source dpkg-dev
[ -e /usr/include/openssl/ssl.h ] || missing+=(libssl-dev)
[ -e /usr/include/zlib.h ] || missing+=(zlib1g-dev)
[ -e /usr/include/rapidjson ] || missing+=(rapidjson-dev)
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "peers: installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "The suites of other clients need: ${missing[*]}" >&2
    exit 1
  fi
fi
namespaces=(--net --pid --fork --kill-child --mount-proc)
[ "$(id -u)" = 0 ] || namespaces+=(--user --map-root-user)

# get_suite SUITE: downloads and builds it, unless that was done before.
get_suite() (
  # shellcheck disable=SC1090
  . "$here/suites/$1.sh"
  get
)

failed=0
for suite in "${suites[@]}"; do
  [ -f "$here/suites/$suite.sh" ] || { echo "peers: there is no suite $suite in $here/suites" >&2; exit 2; }
  get_suite "$suite"
  for server in "${servers[@]}"; do
    echo "peers: $suite against $server"
    if ! unshare "${namespaces[@]}" "$here/suite.sh" "$suite" "$server" >"$out/$suite-$server.log" 2>&1; then
      echo "peers: $suite against $server ended with an error; see $out/$suite-$server.log"
      failed=1
    fi
  done
done
"$here/table.py" "$out" "$here/excluded" "$here/intended-differences.txt" "${suites[@]}" || failed=1
exit "$failed"
