#!/bin/sh
# Runs the program in DOHLE_COUNTED under callgrind, which writes the number of its instructions to files whose names begin with
# DOHLE_INSTRUCTIONS, whenever callgrind_control asks for it. The C library copies with one repeated instruction above a size
# that depends on the processor, and callgrind counts each repetition: with these thresholds, copies count the same on all
# processors.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000
# valgrind runs one thread at a time: without fair scheduling, a thread that never waits may leave no turn to the others.
exec valgrind --tool=callgrind --fair-sched=yes --callgrind-out-file="${DOHLE_INSTRUCTIONS:-/dev/null}" --log-file=/dev/null \
  "$DOHLE_COUNTED" "$@"
