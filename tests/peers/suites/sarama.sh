# shellcheck shell=bash disable=SC2016,SC2034
# The functional tests of sarama (a Go module), which reach five brokers through toxiproxy, another Go module.
# TESTS=TestName runs some.
nodes=5
plain_base=39090
sasl_base=39190
advertised_base=29090
advertised_host=localhost
properties='broker.rack=$I
default.replication.factor=2
auto.create.topics.enable=false
replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector
group.initial.rebalance.delay.ms=0'

# shellcheck source=../go.sh
. "$here/go.sh"

get() {
  go_tests sarama github.com/IBM/sarama@v1.61.1 . -tags=functional
  [ -x "$build/toxiproxy/server" ] && return
  mkdir -p "$build/toxiproxy"
  (
    cd "$build/toxiproxy"
    [ -f go.mod ] || go mod init toxiproxy
    go get github.com/Shopify/toxiproxy/v2@v2.5.0
    go build -o server github.com/Shopify/toxiproxy/v2/cmd/server
  ) >"$build/toxiproxy.log" 2>&1
}

# The tests stop and start brokers with `docker compose stop kafka-N`: here that is a script.
docker_stand_in() {
  mkdir -p "$work/bin"
  cat >"$work/bin/docker" <<SCRIPT
#!/usr/bin/env bash
node=$work/node\${3#kafka-}
case "\$1 \$2" in
  "compose stop") kill "\$(cat "\$node/pid")"; tail --pid="\$(cat "\$node/pid")" -f /dev/null ;;
  "compose start") "$SERVER" server "\$node/server.properties" >>"\$node/node.log" 2>&1 & echo \$! >"\$node/pid" ;;
  *) exit 1 ;;
esac
SCRIPT
  chmod +x "$work/bin/docker"
  PATH=$work/bin:$PATH
}

# The nodes advertise the proxies.
before_cluster() {
  local i
  for i in $(seq "$nodes"); do
    printf '{"name":"kafka%d","listen":"127.0.0.1:%d","upstream":"127.0.0.1:%d","enabled":true}\n' \
      "$i" "$((advertised_base + i))" "$((plain_base + i))"
  done | paste -sd, | sed 's/.*/[&]/' >"$work/proxies.json"
  "$build/toxiproxy/server" -config "$work/proxies.json" >"$work/toxiproxy.log" 2>&1 &
  until (: <>/dev/tcp/127.0.0.1/8474) 2>/dev/null; do kill -0 $!; done
}

run_suite() {
  local flags
  docker_stand_in
  export TOXIPROXY_ADDR=http://localhost:8474 KAFKA_VERSION=4.3.1
  mapfile -t flags < <(go_selection)
  (
    cd "$build/sarama/source"
    timeout 1500 "$build/sarama/tests" -test.v -test.timeout 1400s "${flags[@]}" >"$work/output.log" 2>&1
  ) || true
  go_results "$work/output.log" >"$work/results.txt"
}
