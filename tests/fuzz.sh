#!/usr/bin/env bash
# Runs every test whose name says that it is given random, hostile or malformed input, over and over with new seeds:
# DOHLE_FUZZ_CASES cases each, or for DURATION seconds (default 60). A failure prints the case that made it fail, and
# proptest keeps it in proptest-regressions/.
set -euo pipefail
cd "$(dirname "$0")/.."
words=(hostile random arbitrary garbage malformed any_bytes torn)
duration=${DURATION:-60}
run() {
  PROPTEST_CASES=$1 cargo test -q --release --locked -p dohle-model -p dohle-config -p dohle-protocol -p dohle-log \
    -p dohle-rpc -p dohle-api -- "${words[@]}"
}
if [ -n "${DOHLE_FUZZ_CASES:-}" ]; then
  run "$DOHLE_FUZZ_CASES"
  exit
fi
end=$((SECONDS + duration))
rounds=0
while [ $SECONDS -lt $end ]; do
  run 2000
  rounds=$((rounds + 1))
done
echo "fuzz: $rounds rounds of 2000 cases without a failure"
