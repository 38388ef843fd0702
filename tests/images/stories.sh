#!/usr/bin/env bash
# Stories of users of the image, run against a Docker engine (DOCKER_HOST). DOHLE_BINARY is the static binary.
#
#     stories.sh [STORY...]     one or several of the functions that begin with story_
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export DOHLE_IMAGE=${DOHLE_IMAGE:-dohle:test}
distroless=$DOHLE_IMAGE-distroless
# 40 MB for the image with a shell, of which bash and BusyBox have 5 MB at most.
size_max=$((40 * 1000 * 1000))
shell_size_max=$((5 * 1000 * 1000))

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

story_images_are_small_and_have_the_tools() {
  local image size said small
  small=$(docker image inspect --format '{{.Size}}' "$distroless")
  for image in "$DOHLE_IMAGE" "$distroless"; do
    size=$(docker image inspect --format '{{.Size}}' "$image")
    [ "$size" -lt $size_max ] || fail "$image has $size bytes, at most $size_max are allowed"
    [ $((size - small)) -lt $shell_size_max ] || fail "the shell has $((size - small)) bytes, at most $shell_size_max are allowed"
    docker run --rm "$image" --version >/dev/null || fail "$image: dohle --version"
    docker run --rm "$image" kafka-topics.sh --help >/dev/null || fail "$image: kafka-topics.sh is not on the PATH"
    for folder in /opt/kafka/bin /opt/bitnami/kafka/bin /usr/bin; do
      docker run --rm --entrypoint $folder/kafka-topics.sh "$image" --help >/dev/null || fail "$image: no tool in $folder"
    done
    echo "  $image has $((size / 1000000)) MB"
  done
  if said=$(docker run --rm "$distroless" sh -c true 2>&1); then fail "$distroless has a shell"; fi
  grep -q 'unless its name ends in -distroless' <<<"$said" || fail "without a shell: $said"
  if said=$(docker run --rm "$DOHLE_IMAGE" dohle healthcheck 2>&1); then fail "health without a node"; fi
  grep -q 'does not accept connections' <<<"$said" || fail "health without a node: $said"
}

# What compose files and people do with a shell.
story_a_shell_checks_the_node_and_creates_topics() {
  local said
  docker run --detach --name shell --publish 9092:9092 --health-interval 1s --health-cmd \
    'kafka-topics.sh --bootstrap-server localhost:9092 --list && nc -z localhost 9092 || exit 1' "$DOHLE_IMAGE" >/dev/null
  healthy shell
  docker exec shell bash -c 'kafka-topics --bootstrap-server localhost:9092 --create --topic made --partitions 2 &&
    kafka-topics --bootstrap-server localhost:9092 --list | grep -qx made' >/dev/null || fail "a topic from bash"
  docker exec shell pgrep -f kafka | grep -qx 1 || fail "pgrep does not find the node"
  docker exec shell ps | grep -q '/etc/kafka/docker/run server' || fail "the node's command line has another name"
  docker exec shell nc -vz -w 1 localhost 9092 2>/dev/null || fail "nc -vz"
  if docker exec shell nc -z localhost 9999; then fail "nc finds a port that is closed"; fi
  said=$(docker exec shell bash -c 'for file in a b; do echo "$file"; done | sort -r | tr "\n" " "; id -u; env | grep -c PATH')
  [ "$said" = $'b a 0\n1' ] || fail "bash and coreutils: $said"
  docker stop --time 20 shell >/dev/null
  [ "$(docker inspect --format '{{.State.ExitCode}}' shell)" = 0 ] || fail "the node does not stop cleanly"
}

# Bitnami's chart, in our words: an init container prepares the node's file, the passwords come from files, the user is
# neither root nor ours, and nothing may be written but the volumes.
story_pods_of_bitnamis_chart() {
  local folder=$WORK/chart number user=(--user 1001:1001 --read-only --cap-drop ALL --security-opt no-new-privileges)
  rm -rf "$folder"
  mkdir -p "$folder/secrets"
  printf 'first' >"$folder/secrets/clients" && printf 'n0des' >"$folder/secrets/nodes" && printf 'c0ntrol' >"$folder/secrets/ctl"
  cp "$here"/chart/{server.properties,init.sh} "$folder/"
  docker network create chart >/dev/null
  for number in 0 1 2; do
    mkdir -p "$folder/$number"/{config,shared,data,logs,tmp}
    chown -R 1001:1001 "$folder/$number"
    docker run --rm "${user[@]}" --entrypoint /bin/bash --env MY_POD_NAME=k-controller-$number \
      --env KAFKA_CONF_FILE=/config/server.properties --volume "$folder:/prepare:ro" --volume "$folder/$number/config:/config" \
      --volume "$folder/$number/shared:/shared" --volume "$folder/$number/tmp:/tmp" "$DOHLE_IMAGE" -ec '. /prepare/init.sh' ||
      fail "the init container of pod $number"
    docker run --detach --name k-controller-$number --network chart "${user[@]}" --publish $((19092 + number)):9092 \
      --env KAFKA_CFG_PROCESS_ROLES=controller,broker --env KAFKA_INITIAL_CONTROLLERS_FILE=/shared/initial-controllers.txt \
      --env KAFKA_KRAFT_CLUSTER_ID=abcdefghijklmnopqrstuv --env KAFKA_KRAFT_BOOTSTRAP_SCRAM_USERS=true \
      --env KAFKA_CLIENT_USERS=app --env KAFKA_CLIENT_PASSWORDS_FILE=/secrets/clients \
      --env KAFKA_INTER_BROKER_USER=nodes --env KAFKA_INTER_BROKER_PASSWORD_FILE=/secrets/nodes \
      --env KAFKA_CONTROLLER_USER=ctl --env KAFKA_CONTROLLER_PASSWORD_FILE=/secrets/ctl \
      --volume "$folder/secrets:/secrets:ro" --volume "$folder/$number/data:/bitnami/kafka" \
      --volume "$folder/$number/config/server.properties:/opt/bitnami/kafka/config/server.properties" \
      --volume "$folder/$number/shared:/shared" --volume "$folder/$number/tmp:/tmp" "$DOHLE_IMAGE" >/dev/null
  done
  all_ready k-controller-0 k-controller-1 k-controller-2
  for number in 0 1 2; do
    docker exec k-controller-$number pgrep -f kafka >/dev/null || fail "the liveness probe of pod $number"
  done
  local login='security.protocol=SASL_PLAINTEXT\nsasl.mechanism=%s\nsasl.jaas.config=org.apache.kafka.common.security.%s required username="app" password="first";\n'
  for mechanism in "PLAIN plain.PlainLoginModule" "SCRAM-SHA-512 scram.ScramLoginModule"; do
    printf "$login" $mechanism >"$folder/0/tmp/client.properties"
    docker exec k-controller-0 kafka-topics.sh --bootstrap-server k-controller-1:9092 --command-config /tmp/client.properties \
      --create --topic "by-${mechanism%% *}" --replication-factor 3 >/dev/null || fail "a client with $mechanism"
  done
  rm -rf "$folder"
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

# Testcontainers starts Kafka's images through a shell.
story_testcontainers() {
  docker create --name tc --publish 127.0.0.1::9092 --env CLUSTER_ID=4L6g3nShT-eMCtK--X86sw --env KAFKA_NODE_ID=1 \
    --env KAFKA_LISTENERS=PLAINTEXT://:9092,BROKER://:9093,CONTROLLER://:9094 \
    --env KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT \
    --env KAFKA_INTER_BROKER_LISTENER_NAME=BROKER --env KAFKA_PROCESS_ROLES=broker,controller \
    --env KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER --env KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1 "$DOHLE_IMAGE" \
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
