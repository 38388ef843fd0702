# shellcheck shell=bash
# A cluster for the test suites of clients: Dohle, or Apache Kafka for comparison. Sourced by suite.sh, inside its
# namespaces, so ports are always free and every process ends with the suite.
#
# Each node has three listeners, as the suites' own set-ups have: PLAINTEXT, SASL_PLAINTEXT (PLAIN and SCRAM, also between
# the nodes) and the controller's. The authorizer is on and allows what no ACL forbids. A suite chooses:
#   nodes             how many nodes there are (1)
#   first_id          node.id of the first one (1)
#   plain_base        node I listens for clients without authentication on port plain_base+I (9091)
#   sasl_base         ... and for clients with SASL on port sasl_base+I (9191)
#   advertised_base   the ports that PLAINTEXT advertises, if a proxy listens there (plain_base)
#   advertised_host   the host name that the listeners advertise (127.0.0.1)
#   properties        more lines of server.properties; "$I" in them is the number of the node

nodes=1
first_id=1
plain_base=9091
sasl_base=9191
advertised_base=
advertised_host=127.0.0.1
properties=
export CLUSTER_ID=ZG9obGUtcGVlcnMtMDAwMDE
# Passwords of throw-away clusters inside a network namespace.
plain_module=org.apache.kafka.common.security.plain.PlainLoginModule
scram_module=org.apache.kafka.common.security.scram.ScramLoginModule

# kafka_tool CLASS ARGUMENT...: one of Apache Kafka's tools.
kafka_tool() {
  java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$JARS/*" \
    "-Dlog4j2.configurationFile=$root/tests/compat/java/log4j2.properties" "$@"
}

bootstrap() { # the addresses of all nodes
  local list='' i
  for i in $(seq "$nodes"); do list+=,$advertised_host:$((${advertised_base:-$plain_base} + i)); done
  echo "${list#,}"
}

# server_properties I VOTERS
server_properties() {
  local i=$1 voters=$2 replicas=$((nodes < 3 ? nodes : 3)) line
  local min_isr=$((replicas > 1 ? 2 : 1))
  local plain=$((plain_base + i)) sasl=$((sasl_base + i)) advertised=$((${advertised_base:-$plain_base} + i))
  local jaas="$plain_module required username=admin password=admin-secret user_admin=admin-secret ${plain_users:-};"
  cat <<FILE
process.roles=broker,controller
node.id=$((first_id + i - 1))
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$plain,SASL://127.0.0.1:$sasl,CONTROLLER://127.0.0.1:$((19090 + i))
advertised.listeners=PLAINTEXT://$advertised_host:$advertised,SASL://$advertised_host:$sasl
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=SASL
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=$jaas
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.controller.plain.sasl.jaas.config=$jaas
listener.name.sasl.scram-sha-256.sasl.jaas.config=$scram_module required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=$scram_module required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin
allow.everyone.if.no.acl.found=true
log.dirs=$work/node$i/data
offsets.topic.replication.factor=$replicas
transaction.state.log.replication.factor=$replicas
transaction.state.log.min.isr=$min_isr
FILE
  while read -r line; do [ -z "$line" ] || echo "${line//\$I/$i}"; done <<<"$properties"
}

start_node() { # start_node I
  "$SERVER" server "$work/node$1/server.properties" >>"$work/node$1/node.log" 2>&1 &
  echo $! >"$work/node$1/pid"
}

stop_node() { # stop_node I
  kill "$(cat "$work/node$1/pid")" 2>/dev/null || true
  tail --pid="$(cat "$work/node$1/pid")" -f /dev/null
}

# Has the coordinators' topics created, which a test would otherwise wait for.
create_internal_topics() {
  kafka_tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server "127.0.0.1:$((plain_base + 1))" \
    --describe --group none --timeout 60000 >/dev/null 2>&1 || true
  kafka_tool org.apache.kafka.tools.TransactionsCommand --bootstrap-server "127.0.0.1:$((plain_base + 1))" \
    describe --transactional-id none >/dev/null 2>&1 || true
}

# Starts the nodes, and returns when each of them is listed as live.
start_cluster() {
  local voters='' i live deadline
  for i in $(seq "$nodes"); do voters+=,$((first_id + i - 1))@127.0.0.1:$((19090 + i)); done
  for i in $(seq "$nodes"); do
    mkdir -p "$work/node$i"
    (umask 077 && server_properties "$i" "${voters#,}" >"$work/node$i/server.properties")
    start_node "$i"
  done
  deadline=$((SECONDS + 120))
  while [ $SECONDS -lt $deadline ]; do
    for i in $(seq "$nodes"); do
      kill -0 "$(cat "$work/node$i/pid")" || { tail -5 "$work/node$i/node.log" >&2; return 1; }
    done
    live=$(kafka_tool org.apache.kafka.tools.BrokerApiVersionsCommand --bootstrap-server "127.0.0.1:$((plain_base + 1))" \
      2>/dev/null | grep -c '(id: ') || true
    [ "$live" = "$nodes" ] && create_internal_topics && return
  done
  echo "peers: $live of $nodes nodes were live after 120 s: $work/node*/node.log" >&2
  return 1
}

# scram_user NAME PASSWORD MECHANISM
scram_user() {
  kafka_tool kafka.admin.ConfigCommand --bootstrap-server "127.0.0.1:$((plain_base + 1))" --alter --entity-type users \
    --entity-name "$1" --add-config "$3=[iterations=4096,password=$2]" >/dev/null
}
