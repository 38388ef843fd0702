# shellcheck shell=bash disable=SC2016,SC2034
# librdkafka's tests (tests/test-runner), from Debian's source package. Tests that use no broker (flagged local) are left
# out. TESTS="0055 0061" runs some.
nodes=3
properties='broker.rack=RACK$I
replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector
num.partitions=4
default.replication.factor=3
auto.create.topics.enable=true'
protocol=${protocol:-classic}
# Which release of Debian the source package comes from. sid has the newest.
release=${LIBRDKAFKA_DEBIAN:-sid}

get() {
  local apt=$build/apt source=$build/librdkafka
  [ -x "$source/tests/test-runner" ] && return
  echo "peers: librdkafka from Debian $release"
  rm -rf "$source" "$apt"
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$source"
  echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $release main" \
    >"$apt/sources.list"
  local options=(-qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" update
  (cd "$apt" && apt-get "${options[@]}" source --download-only librdkafka)
  tar xzf "$apt"/librdkafka_*.orig.tar.gz -C "$source" --strip-components=1
  (cd "$source" && ./configure && make -j2 libs && make -j2 -C tests build) >"$build/librdkafka.log" 2>&1
}

# Three of Apache Kafka's scripts and its client, where the tests look for them: some tests run Java programs.
kafka_scripts() {
  mkdir -p "$work/kafka/bin" "$work/kafka/libs"
  local script
  find "$JARS" -name 'kafka-clients-*.jar' ! -name '*-test.jar' -exec ln -s -t "$work/kafka/libs" {} +
  printf '%s\n' '#!/bin/sh' "exec java -Xmx256m -cp \"$JARS/*:\$CLASSPATH\" \"\$@\"" >"$work/kafka/bin/kafka-run-class.sh"
  chmod +x "$work/kafka/bin/kafka-run-class.sh"
  for script in kafka-topics.sh:org.apache.kafka.tools.TopicCommand kafka-acls.sh:org.apache.kafka.tools.AclCommand; do
    cat >"$work/kafka/bin/${script%%:*}" <<SCRIPT
#!/bin/sh
exec java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$JARS/*" ${script#*:} "\$@"
SCRIPT
    chmod +x "$work/kafka/bin/${script%%:*}"
  done
}

run_suite() {
  kafka_scripts
  export KAFKA_PATH=$work/kafka BROKERS TEST_KAFKA_VERSION=4.3.1
  BROKERS=$(bootstrap)
  printf '%s\n' "metadata.broker.list=$BROKERS" test.topic.random=true test.timeout.multiplier=3 >"$work/test.conf"
  export RDKAFKA_TEST_CONF=$work/test.conf TEST_CONSUMER_GROUP_PROTOCOL=$protocol
  export LD_LIBRARY_PATH=../src:../src-cpp TESTS_SKIP
  TESTS_SKIP=$(excluded | joined ,)
  cd "$build/librdkafka/tests"
  # Tests that close sockets below the client (flagged SOCKEM) hit those of tests beside them, so they run alone.
  local sockets chosen
  sockets=$(tr '\n' ' ' <test.c | grep -oE '_TEST\([0-9]{4}[^()]*TEST_F_SOCKEM' | grep -oE '[0-9]{4}' | sort -u)
  chosen=${TESTS:-$(grep -oE '_TEST\(0[0-9]{3}' test.c | cut -c7- | sort -u)}
  chosen=$(tr -s ' ,' '\n' <<<"$chosen" | sort -u)
  TESTS=$(comm -23 <(echo "$chosen") <(echo "$sockets") | joined ,) test_runner -p3
  TESTS=$(comm -12 <(echo "$chosen") <(echo "$sockets") | joined ,) test_runner -p1
  librdkafka_results "$work/output.log" >"$work/results.txt"
}

test_runner() {
  [ -n "$TESTS" ] || return 0
  timeout "${LIMIT:-3000}" ./test-runner -L "$@" >>"$work/output.log" 2>&1 || true
}

# A test that began and never ended failed.
librdkafka_results() {
  sed -nE 's/.*= Running test (\S+) =.*/FAIL \1/p; s/.*= Test (\S+) PASSED =.*/PASS \1/p; s/.*= Test (\S+) SKIPPED =.*/SKIP \1/p; s/.*### Test "(\w+).* failed at.*/FAIL \1/p' "$1" |
    awk '{ state[$2] = $1 } END { for (name in state) print state[name], name }' | sort -k2
}
