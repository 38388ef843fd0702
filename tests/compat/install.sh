#!/usr/bin/env bash
# Installs the clients that the cluster tests use: kcat, Kafka's Java client and tools, franz-go, kafkajs, confluent-kafka,
# aiokafka.
# Everything is built in target/compat, unless it is there already. As root on a machine with apt, missing programs are
# installed; elsewhere they are named.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=$root/target/compat
quickstart=$root/docs/quickstart
mkdir -p "$out"

# up_to_date STAMP FILE...: whether the files have not changed since the stamp was written.
up_to_date() {
  local stamp=$out/$1.stamp
  shift
  [ -f "$stamp" ] && [ "$(cat "$@" | cksum)" = "$(cat "$stamp")" ]
}
stamp() {
  local stamp=$out/$1.stamp
  shift
  cat "$@" | cksum >"$stamp"
}

missing=()
need() { # need PROGRAM PACKAGE
  command -v "$1" >/dev/null || missing+=("$2")
}
need kcat kcat
need javac default-jdk-headless
need mvn maven
need go golang
need node nodejs
need npm npm
need python3 python3
need pip3 python3-pip
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "compat: installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "The cluster tests use real clients. Please install: ${missing[*]}" >&2
    echo "(kcat 1.7, a JDK 17 or newer, Maven, Go 1.24 or newer, Node.js 18 or newer with npm, Python 3.10 or newer with pip.)" >&2
    exit 1
  fi
fi
go_minor=$(go env GOVERSION | sed -E 's/^go1\.([0-9]+).*/\1/')
if [ "$go_minor" -lt 21 ]; then
  echo "The cluster tests need Go 1.24 or newer (1.21 fetches that by itself); this is $(go env GOVERSION)." >&2
  exit 1
fi

if ! up_to_date java "$here/java/pom.xml" "$here"/java/src/*.java "$quickstart"/*.java || [ ! -d "$out/java/libs" ]; then
  echo "compat: Kafka's Java client and tools"
  rm -rf "$out/java"
  mkdir -p "$out/java/classes"
  mvn -q -B -f "$here/java/pom.xml" dependency:copy-dependencies -DoutputDirectory="$out/java/libs" \
    -DincludeScope=runtime
  javac -nowarn -cp "$out/java/libs/*" -d "$out/java/classes" "$here"/java/src/*.java "$quickstart"/*.java
  stamp java "$here/java/pom.xml" "$here"/java/src/*.java "$quickstart"/*.java
fi

if ! up_to_date go "$here"/go/go.mod "$here"/go/go.sum "$here"/go/*.go "$quickstart"/*.go || [ ! -x "$out/go/franz-go" ]; then
  echo "compat: franz-go"
  (cd "$here/go" && go build -buildvcs=false -o "$out/go/franz-go" .)
  (cd "$here/go" && go build -buildvcs=false -o "$out/go/quickstart" "$quickstart/quickstart.go")
  stamp go "$here"/go/go.mod "$here"/go/go.sum "$here"/go/*.go "$quickstart"/*.go
fi

if ! up_to_date node "$here/node/package.json" "$here"/node/*.js || [ ! -d "$out/node/node_modules" ]; then
  echo "compat: kafkajs"
  mkdir -p "$out/node"
  cp "$here/node/package.json" "$here"/node/*.js "$out/node/"
  (cd "$out/node" && npm install --silent --no-audit --no-fund --no-package-lock)
  stamp node "$here/node/package.json" "$here"/node/*.js
fi

if ! up_to_date python "$here/python/requirements.txt" || [ ! -d "$out/python" ]; then
  echo "compat: confluent-kafka and aiokafka"
  rm -rf "$out/python"
  pip3 install --quiet --disable-pip-version-check --root-user-action=ignore --target "$out/python" \
    -r "$here/python/requirements.txt"
  stamp python "$here/python/requirements.txt"
fi
echo "compat: ready in target/compat"
