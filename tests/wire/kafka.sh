#!/usr/bin/env bash
# Apache Kafka with Dohle's command line, `kafka.sh server FILE.properties`: formats the data directory and runs the broker.
# Features that Dohle has at level 0 only have that level. `make wire-record` gives it to the tests as DOHLE_BIN. The jars are those of `make compat-deps`,
# or in the folder DOHLE_KAFKA_LIBS.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
file=$2
java=(java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "${DOHLE_KAFKA_LIBS:-$root/target/compat/java/libs}/*"
  "-Dlog4j2.configurationFile=$root/tests/compat/java/log4j2.properties")
"${java[@]}" kafka.tools.StorageTool format --ignore-formatted -t "$CLUSTER_ID" -c "$file" \
  --feature share.version=0 --feature streams.version=0
exec "${java[@]}" kafka.Kafka "$file"
