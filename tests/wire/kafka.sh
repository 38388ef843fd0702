#!/usr/bin/env bash
# Apache Kafka with Dohle's command line, `kafka.sh server FILE.properties`: formats the data directory, unless it is formatted,
# and runs the broker; `kafka.sh format FILE.properties` only formats it. Features that Dohle has at level 0 only have that
# level. `make wire-record` gives it to the tests as DOHLE_BIN. The jars are those of `make compat-deps`, or in the folder
# DOHLE_KAFKA_LIBS; DOHLE_KAFKA_JVM has other options for the Java machine of the broker, DOHLE_KAFKA_ARGS options of the
# broker.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
file=$2
short=(-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1)
read -r -a broker <<<"${DOHLE_KAFKA_JVM:-${short[*]}}"
read -r -a args <<<"${DOHLE_KAFKA_ARGS:-}"
classes=(-cp "$root/target/compat/java/classes:${DOHLE_KAFKA_LIBS:-$root/target/compat/java/libs}/*"
  "-Dlog4j2.configurationFile=$root/tests/compat/java/log4j2.properties")
data=$(sed -n 's/^log\.dirs=//p' "$file")
if [ ! -e "$data/meta.properties" ]; then
  java "${short[@]}" "${classes[@]}" kafka.tools.StorageTool format --ignore-formatted -t "$CLUSTER_ID" -c "$file" \
    --feature share.version=0 --feature streams.version=0
fi
[ "$1" != format ] || exit 0
exec java "${broker[@]}" "${classes[@]}" kafka.Kafka "$file" "${args[@]}"
