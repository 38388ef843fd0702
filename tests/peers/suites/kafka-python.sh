# shellcheck shell=bash disable=SC2016,SC2034
# The integration tests of kafka-python, from PyPI's source archive. TESTS="a or b" runs some (pytest -k).
nodes=1
first_id=0
properties='num.partitions=4
auto.create.topics.enable=true'
version=3.0.12

get() {
  local folder=$build/kafka-python
  [ -d "$folder/venv" ] && return
  echo "peers: kafka-python $version"
  rm -rf "$folder"
  mkdir -p "$folder/source"
  python3 -m venv "$folder/new"
  "$folder/new/bin/pip" install --quiet pytest pytest-mock pytest-timeout py lz4 zstandard python-snappy
  "$folder/new/bin/pip" download --quiet --no-deps --no-binary :all: -d "$folder" "kafka-python==$version"
  tar xzf "$folder"/kafka_python-*.tar.gz -C "$folder/source" --strip-components=1
  # The archive lacks these two files of the tests. The second one starts brokers; ours run already.
  touch "$folder/source/test/__init__.py"
  cat >"$folder/source/test/service.py" <<'PYTHON'
class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    close = dump_logs = open


class SpawnedService:
    pass
PYTHON
  mv "$folder/new" "$folder/venv"
}

run_suite() {
  local flags=() skipped
  export KAFKA_VERSION=4.3.1 KAFKA_URI=kafka://127.0.0.1:$((plain_base + 1)) KAFKA_ROOT=$work
  mapfile -t skipped < <(excluded)
  flags=("${skipped[@]/#/--deselect=}")
  [ -z "$TESTS" ] || flags+=(-k "$TESTS")
  (cd "$build/kafka-python/source" && timeout 900 "$build/kafka-python/venv/bin/python" -m pytest -rA -q --tb=short "${flags[@]}" \
    test/integration >"$work/output.log" 2>&1) || true
  sed -nE 's/^(PASSED|FAILED|ERROR) (\S+).*/\1 \2/p' "$work/output.log" |
    sed -E 's/^PASSED/PASS/; s/^(FAILED|ERROR)/FAIL/' >"$work/results.txt"
}
