# shellcheck shell=bash disable=SC2016,SC2034
# The tests of kafka-go (a Go module), which expect one broker at localhost:9092, and with SASL at localhost:9093.
# TESTS=TestName runs some.
nodes=1
plain_base=9091
sasl_base=9092
advertised_host=localhost
plain_users='user_adminplain=admin-secret'
properties='auto.create.topics.enable=true
group.initial.rebalance.delay.ms=0
message.max.bytes=200000000'

# shellcheck source=../go.sh
. "$here/go.sh"

get() {
  go_tests kafka-go github.com/segmentio/kafka-go@v0.4.51 .
}

run_suite() {
  local flags
  scram_user adminscram256 admin-secret-256 SCRAM-SHA-256
  scram_user adminscram512 admin-secret-512 SCRAM-SHA-512
  export KAFKA_VERSION=4.0.0 KAFKA_SKIP_NETTEST=1
  mapfile -t flags < <(go_selection)
  (cd "$build/kafka-go/source" && timeout 900 "$build/kafka-go/tests" -test.v -test.timeout 850s -test.parallel 4 "${flags[@]}" >"$work/output.log" 2>&1) || true
  go_results "$work/output.log" >"$work/results.txt"
}
