#!/bin/sh
# Runs the program in DOHLE_COUNTED under valgrind, which writes the number of its instructions to DOHLE_INSTRUCTIONS.
exec valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null \
  --log-file="${DOHLE_INSTRUCTIONS:-/dev/null}" "$DOHLE_COUNTED" "$@"
