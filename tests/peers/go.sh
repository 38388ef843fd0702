# shellcheck shell=bash
# Test programs of Go modules, for the suites that are some. Sourced by their files.

# go_tests FOLDER MODULE@VERSION PACKAGE FLAG...: builds the tests of a module's package, as FOLDER/tests. FOLDER/source is
# a copy of the module, where the tests run and find their files.
go_tests() {
  local folder=$build/$1 module=$2 package=$3 source
  shift 3
  [ -x "$folder/tests" ] && return
  echo "peers: $module"
  source=$(cd "$build" && GOFLAGS=-mod=mod go mod download -json "$module" | sed -nE 's/^\s*"Dir": "(.*)",$/\1/p')
  rm -rf "$folder"
  mkdir -p "$folder"
  cp -r "$source" "$folder/source"
  chmod -R u+w "$folder/source"
  (cd "$folder/source/$package" && GOFLAGS=-mod=mod go test -c -o "$folder/tests" "$@" .)
}

# go_results FILE: "PASS name", "FAIL name" or "SKIP name" for each test in the output of `go test -v`. A test that began
# and never ended failed.
go_results() {
  awk '
    $1 == "===" && $2 == "RUN" && !($3 in state) { state[$3] = "FAIL" }
    match($0, /--- (PASS|FAIL|SKIP): /) { state[$(NF - 1)] = substr($0, RSTART + 4, 4) }
    END { for (name in state) print state[name], name }' "$1" | sort -k2
}

# go_selection: the flags that leave out the excluded tests, and select those of TESTS (a regular expression).
go_selection() {
  local skipped
  skipped=$(excluded | joined '|')
  [ -z "$skipped" ] || printf '%s\n' "-test.skip=$skipped"
  [ -z "$TESTS" ] || printf '%s\n' "-test.run=$TESTS"
}
