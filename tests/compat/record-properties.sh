#!/usr/bin/env bash
# Records which values of each property Apache Kafka accepts: `make record-properties`. Prints the lines that PropertySweep
# describes; the node that it asks has default properties, listens on loopback, and is stopped at the end.
#   record-properties.sh [RECORDING]   leaves out the properties of RECORDING; DOHLE_KAFKA_LIBS has the jars of another version
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
libs=${DOHLE_KAFKA_LIBS:-$root/target/compat/java/libs}
port=34291
folder=$(mktemp -d)
cat >"$folder/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
log.dirs=$folder/data
END
CLUSTER_ID=4L6g3nShT-eMCtK--X86sw "$root/tests/wire/kafka.sh" server "$folder/server.properties" >"$folder/log" 2>&1 &
node=$!
trap 'kill "$node"; wait "$node" || true; rm -rf "$folder"' EXIT
java -Dlog4j2.level=OFF -cp "$libs/*" "$root/tests/compat/java/src/PropertySweep.java" "127.0.0.1:$port" "$@" 2>"$folder/errors" | grep -E $'^(start|broker|default|topic|group)\t'
