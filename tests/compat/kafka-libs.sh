#!/usr/bin/env bash
# Installs the jars of the broker of another version of Apache Kafka than that of `make compat-deps` in target/compat, and
# prints their folder: `kafka-libs.sh VERSION`.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
libs=$(cd "$here/../.." && pwd)/target/compat/kafka-$1/libs
if [ ! -d "$libs" ]; then
  mvn -q -B -f "$here/java/server.xml" -Dkafka.version="$1" dependency:copy-dependencies -DoutputDirectory="$libs.part" \
    -DincludeScope=runtime >&2
  mv "$libs.part" "$libs"
fi
echo "$libs"
