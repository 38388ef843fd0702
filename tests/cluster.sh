#!/usr/bin/env bash
# Runs the stories of whole nodes, TEST_THREADS at once; arguments choose some of them. Where clients' own timeouts count, a story
# can fail because the others keep the machine busy: with REPEAT=N, up to N stories that failed run once more, alone, and are named
# at the end. A story that fails again fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
stories() { ${CARGO:-cargo} test --workspace --locked --test cluster -- "$@"; }

status=0
stories --test-threads="${TEST_THREADS:-2}" "$@" 2>&1 | tee "$log" || status=$?
[ $status = 0 ] && exit
mapfile -t failed < <(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log")
if [ ${#failed[@]} = 0 ] || [ ${#failed[@]} -gt "${REPEAT:-0}" ]; then exit $status; fi
stories --test-threads=1 --exact "${failed[@]}"
printf 'failed beside others, and passed alone: %s\n' "${failed[@]}"
