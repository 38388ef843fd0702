# shellcheck shell=bash disable=SC2016,SC2034
# The tests of franz-go's client (package kgo of a Go module). TESTS=TestName runs some.
nodes=3
plain_users=
properties='group.initial.rebalance.delay.ms=0
transaction.state.log.num.partitions=5
offsets.topic.num.partitions=5'

# shellcheck source=../go.sh
. "$here/go.sh"

get() {
  go_tests franz-go github.com/twmb/franz-go@v1.22.3 pkg/kgo
}

run_suite() {
  local flags
  scram_user testuser testpass SCRAM-SHA-256
  export KGO_SEEDS KGO_TEST_RF=3 KGO_TEST_RECORDS=${KGO_TEST_RECORDS:-100000} KGO_TEST_STABLE_FETCH=true
  export KGO_TEST_SCRAM_SEEDS=127.0.0.1:$((sasl_base + 1)) KGO_TEST_SCRAM=testuser:testpass
  KGO_SEEDS=$(bootstrap)
  mapfile -t flags < <(go_selection)
  (cd "$build/franz-go/source/pkg/kgo" && timeout 1300 "$build/franz-go/tests" -test.v -test.timeout 1200s -test.parallel 2 "${flags[@]}" >"$work/output.log" 2>&1) || true
  go_results "$work/output.log" >"$work/results.txt"
}
