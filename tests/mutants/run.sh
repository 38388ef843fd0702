#!/bin/bash
# Applies each patch of this folder, alone, to a copy of the checkout, and runs the simulation of
# replication, which must fail. Prints a table; exits with 1 unless each fault was caught.
#
# usage: run.sh [NAME…]
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}/mutants
copy=$target/copy
log=$target/output.txt
: "${CARGO:=cargo}" "${MUTANT_SECONDS:=120}"
export CARGO_TARGET_DIR=$target/build
test=("$CARGO" test --workspace --locked --test simulation)

# The files as they are in the checkout, with uncommitted changes.
rm -rf "$copy"
mkdir -p "$copy"
(cd "$root" && git ls-files -z --cached --others --exclude-standard \
  | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\0" "$f"; done' sh \
  | tar -c --null -T - | tar -x -C "$copy")
cd "$copy"

# outcome SECONDS
outcome() {
  "${test[@]}" --no-run >"$log" 2>&1 || { echo 'does not compile'; return; }
  local status=0
  timeout "$1" "${test[@]}" >"$log" 2>&1 || status=$?
  case $status in
    0) echo MISSED ;;
    101) echo caught ;;
    124) echo 'timed out' ;;
    # Another end, for lack of memory for example, is no finding.
    *) echo "exit status $status" ;;
  esac
}

# All seeds run when nothing is found, which takes a busy machine minutes.
intact=$(outcome 300)
if [ "$intact" != MISSED ]; then
  echo "the simulation of the checkout itself: $intact; see $log" >&2
  exit 1
fi

if [ $# -gt 0 ]; then
  patches=("${@/%/.patch}")
else
  patches=()
  for patch in "$root"/tests/mutants/*.patch; do patches+=("${patch##*/}"); done
fi
bad=0
for name in "${patches[@]}"; do
  patch=$root/tests/mutants/$name
  # A patch that no longer fits must be written again, since it proves nothing.
  result='does not apply'
  if patch -s -f -p1 <"$patch" >"$log" 2>&1; then
    result=$(outcome "$MUTANT_SECONDS")
    patch -s -f -R -p1 <"$patch"
  fi
  [ "$result" = caught ] || bad=1
  printf '%-16s  %-36s  %s\n' "$result" "${name%.patch}" "$(head -n 1 "$patch")"
done
exit $bad
