# Functions for scripts that were written for Bitnami's image, such as the init containers of its chart. The scripts source
# this file by the names libkafka.sh, libfile.sh, liblog.sh, libos.sh and libvalidations.sh in /opt/bitnami/scripts.
#
# Needs bash, awk, sed and sleep. KAFKA_CONF_FILE names the properties file that kafka_server_conf_set changes.
# shellcheck shell=bash

KAFKA_CONF_FILE=${KAFKA_CONF_FILE:-/opt/bitnami/kafka/config/server.properties}

# Messages go to standard error, so that they never become a part of a value. None of these ends the script.
info() { printf 'INFO  %s\n' "$*" >&2; }
warn() { printf 'WARN  %s\n' "$*" >&2; }
error() { printf 'ERROR %s\n' "$*" >&2; }
debug() {
  if is_boolean_yes "${BITNAMI_DEBUG:-}"; then printf 'DEBUG %s\n' "$*" >&2; fi
}

# is_boolean_yes VALUE: whether it is 1, yes or true, in any case.
is_boolean_yes() {
  case ${1:-} in
    1 | [Yy][Ee][Ss] | [Tt][Rr][Uu][Ee]) return 0 ;;
    *) return 1 ;;
  esac
}

# is_empty_value VALUE
is_empty_value() { [ -z "${1:-}" ]; }

# retry_while "COMMAND ARG…" [TIMES] [SECONDS]: repeats a command until it succeeds, 12 times by default, with 5 seconds
# between two attempts. Words are separated by spaces; there is no quoting. Fails when every attempt has failed.
retry_while() {
  local -a command
  local times=${2:-12} seconds=${3:-5} attempt
  read -r -a command <<<"${1:?retry_while needs a command}"
  for ((attempt = 1; attempt <= times; attempt++)); do
    if "${command[@]}"; then return 0; fi
    if ((attempt < times)); then sleep "$seconds"; fi
  done
  return 1
}

# replace_in_file FILE REGEX TEXT: replaces each match of an extended regular expression. In TEXT, \1 to \9 are groups of
# the expression, and & is itself, so that generated passwords may hold it.
replace_in_file() {
  local file=${1:?replace_in_file needs a file} regex=${2:?replace_in_file needs an expression} text=${3-} changed
  # A character that is in no expression separates the parts.
  local separator=$'\001'
  text=${text//&/\\&}
  changed=$(sed -E "s${separator}${regex}${separator}${text}${separator}g" "$file") || return
  # The file is written, not replaced: it may be mounted.
  printf '%s\n' "$changed" >"$file"
}

# remove_in_file FILE REGEX: removes the lines that match an extended regular expression.
remove_in_file() {
  local file=${1:?remove_in_file needs a file} regex=${2:?remove_in_file needs an expression} kept
  kept=$(sed -E $'\\\001'"$regex"$'\001d' "$file") || return
  printf '%s\n' "$kept" >"$file"
}

# kafka_common_conf_set FILE NAME VALUE: sets a property in a file, in the place of a former value or else at the end.
# VALUE is written as it is: a value of several lines has a backslash at the end of each but the last.
kafka_common_conf_set() {
  local file=${1:?kafka_common_conf_set needs a file} changed
  [ $# -eq 3 ] || {
    error "kafka_common_conf_set $1 ${2:-}: one value is needed, $(($# > 2 ? $# - 2 : 0)) are given"
    return 1
  }
  [ -e "$file" ] || : >"$file"
  changed=$(
    NAME=$2 VALUE=$3 awk '
      function name_of(line) {
        sub(/^[ \t]*/, "", line)
        sub(/[ \t]*[=:].*$/, "", line)
        return line
      }
      skipped { skipped = /\\$/; next }
      name_of($0) == ENVIRON["NAME"] {
        if (!written++) print ENVIRON["NAME"] "=" ENVIRON["VALUE"]
        skipped = /\\$/
        next
      }
      { print }
      END { if (!written) print ENVIRON["NAME"] "=" ENVIRON["VALUE"] }
    ' "$file"
  ) || return
  printf '%s\n' "$changed" >"$file"
}

# kafka_server_conf_set NAME VALUE: sets a property of the node.
kafka_server_conf_set() { kafka_common_conf_set "$KAFKA_CONF_FILE" "$@"; }
