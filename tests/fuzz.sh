#!/usr/bin/env bash
# Runs the tests that give decoders random or damaged input, again and again with new seeds: DOHLE_FUZZ_CASES cases of
# each test, or for DURATION seconds (default 60). A failing test prints its input, and proptest keeps the seed in
# proptest-regressions/.
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${DURATION:-60}
run() {
  export PROPTEST_CASES=$1 DOHLE_FUZZ_CASES=$1
  cargo test -q --release --locked -p dohle-protocol -p dohle-log --test hostile
  cargo test -q --release --locked -p dohle-groups -p dohle-api -p dohle-auth -p dohle-controller -p dohle-tls --lib -- hostile records::tests
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
