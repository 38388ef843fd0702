#!/usr/bin/env bash
# Runs the tests with random input again and again with new seeds: decoders of damaged bytes, and histories of logs and groups.
# DOHLE_FUZZ_CASES cases of each test, or for DURATION seconds (default 60). A failing test prints its input or its seed, and
# proptest keeps the seed in proptest-regressions/.
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${DURATION:-60}
test() { cargo test -q --release --locked "$@"; }
run() { # run CASES HISTORIES
  export PROPTEST_CASES=$1 DOHLE_FUZZ_CASES=$1
  test -p dohle-protocol -p dohle-log --test hostile
  test -p dohle-groups -p dohle-api -p dohle-auth -p dohle-controller -p dohle-tls --lib -- hostile records::tests
  export PROPTEST_CASES=$2 DOHLE_FUZZ_CASES=$2 DOHLE_SEED=$((RANDOM << 15 | RANDOM))
  test -p dohle-log --test compaction_random --test damage --test disk_full --test model --test no_false_damage \
    --test power_loss --test ranges --test recovery_damage --test transactions_random
  test -p dohle-groups --lib -- simulation offsets::tests::transactions
  test -p dohle-controller --lib -- plan::tests power_loss
}
if [ -n "${DOHLE_FUZZ_CASES:-}" ]; then
  run "$DOHLE_FUZZ_CASES" "$DOHLE_FUZZ_CASES"
  exit
fi
end=$((SECONDS + duration))
rounds=0
while [ $SECONDS -lt $end ]; do
  run 2000 200
  rounds=$((rounds + 1))
done
echo "fuzz: $rounds rounds of 2000 inputs and 200 histories without a failure"
