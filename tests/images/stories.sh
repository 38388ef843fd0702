#!/usr/bin/env bash
# Stories of users of the image, run against a Docker engine (DOCKER_HOST). DOHLE_BINARY is the static binary.
#
#     stories.sh [STORY...]     one or several of the functions that begin with story_
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export DOHLE_IMAGE=${DOHLE_IMAGE:-dohle:test}
# 40 MB, and no more.
size_max=$((40 * 1000 * 1000))

fail() {
  echo "images: $*" >&2
  for id in $(docker ps --all --quiet); do
    echo "--- $(docker inspect --format '{{.Name}} {{.State.Status}}' "$id")" >&2
    docker logs --tail 15 "$id" >&2 2>&1 || true
  done
  exit 1
}
# until_ok SECONDS WHAT COMMAND...: repeats a command until it succeeds.
until_ok() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || fail "still not: $what ($*)"
    sleep 0.1
  done
}
client() { node "$here/client.js" "$@" || fail "kafkajs: $*"; }
compose() { docker-compose --project-name story "$@"; }
files() { compose --file "$root/deploy/compose/$1" "${@:2}"; }
health_is() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$2")" = "$1" ]; }
# Docker runs the health check only every few seconds; `serving` runs it at once.
healthy() { for id in "$@"; do until_ok 60 "$id is healthy" health_is healthy "$id"; done; }
serving() { for id in "$@"; do until_ok 60 "$id serves" docker exec "$id" dohle healthcheck; done; }
# says CONTAINER PATTERN: whether a line of the container's log matches.
says() {
  local log
  log=$(docker logs "$1" 2>&1)
  grep -q "$2" <<<"$log"
}
ready() { docker exec "$1" dohle healthcheck --ready; }
all_ready() { for id in "$@"; do until_ok 60 "$id is ready" ready "$id"; done; }
# user_of CONTAINER: the user that its first process runs as.
user_of() { awk '/^Uid:/ {print $2}' "/proc/$(docker inspect --format '{{.State.Pid}}' "$1")/status"; }
# One record in, one record out.
takes_records() { # takes_records BOOTSTRAP
  local topic=t$RANDOM
  client topic "$1" $topic 3 1 && client produce "$1" $topic 0 10 >/dev/null && client fetch "$1" $topic 10 >/dev/null
}
clean() {
  docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes >/dev/null
  docker volume ls --quiet | xargs --no-run-if-empty docker volume rm >/dev/null
  docker network prune --force >/dev/null
}

# refused WORDS COMMAND...: checks that the image fails to run the command, with these words in its output.
refused() {
  local words=$1 said
  shift
  if said=$(docker run --rm "$DOHLE_IMAGE" "$@" 2>&1); then fail "the image does $*"; fi
  grep -q "$words" <<<"$said" || fail "$* is answered with: $said"
}

story_image_is_small_and_has_the_tools() {
  local size
  size=$(docker image inspect --format '{{.Size}}' "$DOHLE_IMAGE")
  [ "$size" -lt $size_max ] || fail "the image has $size bytes, at most $size_max are allowed"
  docker run --rm "$DOHLE_IMAGE" --version >/dev/null || fail "dohle --version"
  docker run --rm "$DOHLE_IMAGE" kafka-topics.sh --help >/dev/null || fail "kafka-topics.sh is not on the PATH"
  docker run --rm --entrypoint /opt/kafka/bin/kafka-topics.sh "$DOHLE_IMAGE" --help >/dev/null || fail "no tool in /opt/kafka/bin"
  refused 'no shell' sh -c true
  refused 'does not accept connections' dohle healthcheck
  echo "  the image has $((size / 1000000)) MB"
}

story_three_nodes_keep_records_and_offsets() {
  local bootstrap=localhost:19092,localhost:19093,localhost:19094 ids before after killed
  # The first node starts while the names of the others cannot be resolved yet.
  files compose.yaml up --detach dohle-1 >/dev/null 2>&1 || fail "compose up"
  files compose.yaml up --detach >/dev/null 2>&1 || fail "compose up"
  ids=$(files compose.yaml ps --quiet)
  serving $ids
  client topic $bootstrap orders 6 3
  client produce $bootstrap orders 0 3000
  client group $bootstrap orders workers 0 3000
  before=$(client offsets $bootstrap orders workers)
  # One container is killed in the middle of it.
  killed=$(files compose.yaml ps --quiet dohle-2)
  client produce $bootstrap orders 3000 3000 10 >"$WORK/produce.log" &
  until_ok 30 "records arrive" grep -q tenth "$WORK/produce.log"
  docker kill "$killed" >/dev/null
  if grep -q produced "$WORK/produce.log"; then fail "all was produced before the kill"; fi
  wait $! || fail "producing while a container is killed"
  files compose.yaml restart >/dev/null 2>&1 || fail "compose restart"
  serving $ids
  all_ready $ids
  client fetch $bootstrap orders 6000
  after=$(client offsets $bootstrap orders workers)
  [ "$before" = "$after" ] || fail "offsets were $before and are $after"
  client group $bootstrap orders workers 3000 3000
}

# What a rolling update does, with the probe that it waits for.
story_a_rolling_restart_waits_for_the_isr() {
  local bootstrap=localhost:19092,localhost:19093,localhost:19094 id producer
  files compose.yaml up --detach >/dev/null 2>&1 || fail "compose up"
  all_ready $(files compose.yaml ps --quiet)
  client topic $bootstrap orders 6 3
  client produce $bootstrap orders 0 8000 10 >"$WORK/produce.log" &
  producer=$!
  until_ok 30 "records arrive" grep -q tenth "$WORK/produce.log"
  for id in $(files compose.yaml ps --quiet); do
    docker restart "$id" >/dev/null
    all_ready "$id"
    # Other brokers hear of it a moment later.
    until_ok 5 "all replicas are in sync" node "$here/client.js" isr $bootstrap orders 3
  done
  wait $producer || fail "producing through a rolling restart"
  client fetch $bootstrap orders 8000
}

story_apache_with_nothing_set() {
  docker run --detach --name apache --publish 9092:9092 "$DOHLE_IMAGE" >/dev/null
  healthy apache
  [ "$(user_of apache)" = 1000 ] || fail "runs as $(user_of apache)"
  takes_records localhost:9092
  docker restart apache >/dev/null
  serving apache
  says apache 'Transitioning from RECOVERY to RUNNING' || fail "no word for Testcontainers"
}

story_apache_compose() {
  files apache.yaml up --detach >/dev/null 2>&1 || fail "compose up"
  serving "$(files apache.yaml ps --quiet)"
  takes_records localhost:9092
}

story_bitnami_compose_keeps_its_volume() {
  local topic=kept
  files bitnami.yaml up --detach >/dev/null 2>&1 || fail "compose up"
  serving "$(files bitnami.yaml ps --quiet)"
  client topic localhost:9094 $topic 3 1
  client produce localhost:9094 $topic 0 100 >/dev/null
  # New containers, the volume of before.
  files bitnami.yaml down >/dev/null 2>&1
  files bitnami.yaml up --detach >/dev/null 2>&1
  serving "$(files bitnami.yaml ps --quiet)"
  client fetch localhost:9094 $topic 100 >/dev/null
}

# The files are made by the same binary. No client gets in without a password.
story_secured_compose() {
  local security=$WORK/security list
  rm -rf "$security"
  "$DOHLE_BINARY" security init "$security" --scram-user admin \
    --host dohle-1,localhost --host dohle-2,localhost --host dohle-3,localhost >/dev/null || fail "security init"
  chown -R 1000 "$security"
  DOHLE_SECURITY=$security files secure.yaml up --detach >/dev/null 2>&1 || fail "compose up"
  all_ready $(DOHLE_SECURITY=$security files secure.yaml ps --quiet)
  list=("$DOHLE_BINARY" topics --bootstrap-server localhost:19092 --command-config)
  "${list[@]}" "$security/admin.properties" --create --topic t --replication-factor 3 >/dev/null || fail "create a topic"
  sed 's/password="[^"]*"/password="wrong"/' "$security/admin.properties" >"$security/wrong.properties"
  if "${list[@]}" "$security/wrong.properties" --list >/dev/null 2>&1; then fail "a wrong password is accepted"; fi
  if says "$(DOHLE_SECURITY=$security files secure.yaml ps --quiet dohle-1)" 'EVERYONE IS LET IN'; then fail "a listener is open"; fi
  rm -rf "$security"
}

story_confluent_compose() {
  files confluent.yaml up --detach >/dev/null 2>&1 || fail "compose up"
  serving $(files confluent.yaml ps --quiet)
  client topic localhost:29092,localhost:30092,localhost:31092 t 3 3
  client produce localhost:29092 t 0 100 >/dev/null
  client fetch localhost:31092 t 100 >/dev/null
}

story_a_folder_that_docker_made_as_root() {
  local folder=$WORK/bound
  rm -rf "$folder"
  docker run --detach --name bound --publish 9092:9092 --volume "$folder:/var/lib/kafka/data" "$DOHLE_IMAGE" >/dev/null
  serving bound
  [ "$(user_of bound)" = 1000 ] || fail "runs as $(user_of bound)"
  [ "$(stat --format %u "$folder" "$folder/meta.properties" | sort -u)" = 1000 ] || fail "the folder belongs to $(stat -c %u "$folder")"
  takes_records localhost:9092
  docker rm --force bound >/dev/null
  # Whose folder it is keeps it.
  chown -R 4321:4321 "$folder"
  docker run --detach --name bound --publish 9092:9092 --volume "$folder:/var/lib/kafka/data" "$DOHLE_IMAGE" >/dev/null
  serving bound
  [ "$(user_of bound)" = 4321 ] || fail "runs as $(user_of bound), not as the folder's owner"
  docker rm --force bound >/dev/null
  rm -rf "$folder"
}

story_another_user_and_no_rights_at_all() {
  docker run --detach --name other --user 1001 --read-only --cap-drop ALL --security-opt no-new-privileges \
    --publish 9092:9092 --volume other:/bitnami/kafka "$DOHLE_IMAGE" >/dev/null
  serving other
  [ "$(user_of other)" = 1001 ] || fail "runs as $(user_of other)"
  takes_records localhost:9092
}

story_a_file_that_is_mounted() {
  printf 'num.partitions=7\nprocess.roles=broker,controller\nnode.id=3\ncontroller.listener.names=CONTROLLER\n' >"$WORK/server.properties"
  docker run --detach --name filed --publish 9092:9092 --env KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:9092 \
    --volume "$WORK/server.properties:/mnt/shared/config/server.properties:ro" "$DOHLE_IMAGE" >/dev/null
  serving filed
  says filed 'Kafka Server started.*node=3' || fail "the file is not read"
  takes_records localhost:9092
}

# Testcontainers starts Kafka's images through a shell, so the image is laid on one that has a shell.
story_testcontainers_with_a_base_that_has_a_shell() {
  local context
  context=$(mktemp -d)
  mkdir -p "$context/bin"
  cp "$(command -v busybox)" "$context/bin/busybox"
  cp "$(command -v bash-static)" "$context/bin/bash"
  ln -s busybox "$context/bin/sh" && ln -s busybox "$context/bin/sleep"
  printf 'FROM scratch\nCOPY bin /bin\n' >"$context/Dockerfile"
  docker build --quiet --tag base:shell "$context" >/dev/null 2>&1
  rm -rf "$context"
  BASE=base:shell "$root/deploy/image.sh" build dohle:shell >"$WORK/build.log" 2>&1 || fail "$(cat "$WORK/build.log")"
  docker create --name tc --publish 127.0.0.1::9092 --env CLUSTER_ID=4L6g3nShT-eMCtK--X86sw --env KAFKA_NODE_ID=1 \
    --env KAFKA_LISTENERS=PLAINTEXT://:9092,BROKER://:9093,CONTROLLER://:9094 \
    --env KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT \
    --env KAFKA_INTER_BROKER_LISTENER_NAME=BROKER --env KAFKA_PROCESS_ROLES=broker,controller \
    --env KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER --env KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1 dohle:shell \
    sh -c 'while [ ! -f /tmp/testcontainers_start.sh ]; do sleep 0.1; done; /tmp/testcontainers_start.sh' >/dev/null
  docker start tc >/dev/null
  local port
  port=$(docker port tc 9092 | sed 's/.*://')
  printf '#!/bin/bash\nexport KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:%s,BROKER://%s:9093\n/etc/kafka/docker/run \n' \
    "$port" "$(docker inspect --format '{{.Config.Hostname}}' tc)" >"$WORK/testcontainers_start.sh"
  chmod 0777 "$WORK/testcontainers_start.sh"
  docker cp "$WORK/testcontainers_start.sh" tc:/tmp/testcontainers_start.sh
  until_ok 30 "the words that Testcontainers waits for" says tc 'Transitioning from RECOVERY to RUNNING'
  takes_records "localhost:$port"
}

"$root/deploy/image.sh" build "$DOHLE_IMAGE" >"$WORK/build.log" 2>&1 || fail "$(cat "$WORK/build.log")"
stories=("$@")
[ ${#stories[@]} -gt 0 ] || mapfile -t stories < <(declare -F | sed -n 's/^declare -f \(story_.*\)/\1/p')
for story in "${stories[@]}"; do
  began=$(date +%s%N)
  clean
  "$story"
  echo "ok: ${story#story_} ($((($(date +%s%N) - began) / 1000000)) ms)"
done
clean
echo "images: ${#stories[@]} stories passed"
