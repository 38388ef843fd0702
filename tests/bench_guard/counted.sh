#!/bin/sh
# Runs the program in DOHLE_COUNTED under valgrind, which writes the number of its instructions to DOHLE_INSTRUCTIONS.
# The C library copies with one repeated instruction above a size that depends on the processor, and valgrind counts
# each repetition: with these thresholds, copies count the same on all processors.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000
exec valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null \
  --log-file="${DOHLE_INSTRUCTIONS:-/dev/null}" "$DOHLE_COUNTED" "$@"
