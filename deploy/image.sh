#!/usr/bin/env bash
# Makes the image from a binary, without pulling anything.
#
#     deploy/image.sh build TAG              builds the static binary first, unless DOHLE_BINARY names one
#     deploy/image.sh rootfs BINARY OUT.tar  only what goes into the image
#     deploy/image.sh toolchain              adds what the static binary needs to be built with, or says what is missing
#
# BASE is the image to build on, for example one with a shell; without it the image has no base. DOCKER is the command to
# use instead of docker.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
target=${IMAGE_TARGET:-$(uname -m)-unknown-linux-musl}

# The paths of the start scripts in Kafka's images. Here all of them are links to the entrypoint.
start_scripts="etc/kafka/docker/run etc/kafka/docker/launch etc/confluent/docker/run etc/confluent/docker/launch
  opt/bitnami/scripts/kafka/entrypoint.sh opt/bitnami/scripts/kafka/run.sh"
# What those images do before the start, Dohle does at the start: these are there to be called, and do nothing.
steps="etc/kafka/docker/bash-config etc/kafka/docker/configure etc/kafka/docker/configureDefaults
  etc/confluent/docker/bash-config etc/confluent/docker/configure etc/confluent/docker/ensure"
# Folders that belong to the image's user and to the group that containers of any other user run in.
data="bitnami/kafka/data var/lib/kafka/data tmp/kraft-combined-logs"

say() { printf '%s\n' "$*" >&2; }

# toolchain: adds Rust's target of static binaries with rustup; names everything else that is missing, all at once.
toolchain() {
  local missing=()
  has_target() { (cd "$root" && rustc --print target-libdir --target "$target" 2>/dev/null | xargs test -d) 2>/dev/null; }
  if ! command -v rustc >/dev/null; then
    missing+=("Rust: https://rustup.rs")
  elif ! has_target; then
    if command -v rustup >/dev/null; then
      say "image: adding the Rust target $target"
      (cd "$root" && rustup target add "$target") >&2 || true
    fi
    has_target || missing+=("the Rust target $target: 'rustup target add $target' where rustc is rustup's; a package of the
    distribution otherwise (Fedora: rust-std-static-$target); this rustc is $(command -v rustc)")
  fi
  # The C code of dependencies. On a system that is built on musl, its own compiler is the right one.
  local variable=CC_${target//-/_}
  if [ -z "${!variable:-}${TARGET_CC:-}${CC:-}" ] && ! rustc -vV 2>/dev/null | grep -q '^host: .*-musl'; then
    command -v musl-gcc >/dev/null || command -v "${target%%-*}-linux-musl-gcc" >/dev/null ||
      missing+=("musl-gcc: 'apt-get install musl-tools' on Debian and Ubuntu, 'dnf install musl-gcc' on Fedora")
  fi
  [ ${#missing[@]} -gt 0 ] || return 0
  say "image: the static binary cannot be built. Missing:"
  printf '  - %s\n' "${missing[@]}" >&2
  return 1
}

# tool_names BINARY: the names that the tools are called by, one a line.
tool_names() {
  local links
  links=$(mktemp -d)
  "$1" install-links "$links" >/dev/null
  ls "$links"
  rm -rf "$links"
}

# assemble BINARY FOLDER: puts the image's root folder together.
assemble() {
  local binary=$1 folder=$2 name
  mkdir -p "$folder"/{etc,opt/kafka/bin,opt/kafka/config,opt/bitnami/kafka/config,mnt/shared/config,root,usr/bin} \
    "$folder"/{usr/local/bin,bitnami/kafka/config,etc/kafka/secrets,proc,sys,dev,run} "$folder/tmp"
  cp "$binary" "$folder/usr/local/bin/dohle"
  chmod 0755 "$folder/usr/local/bin/dohle"
  if [ -z "${BASE:-}" ]; then
    printf 'root:x:0:0:root:/root:/sbin/nologin\nkafka:x:1000:1000:kafka:/:/sbin/nologin\n' >"$folder/etc/passwd"
    printf 'root:x:0:\nkafka:x:1000:\n' >"$folder/etc/group"
    printf 'hosts: files dns\n' >"$folder/etc/nsswitch.conf"
  fi
  for name in $(tool_names "$binary"); do
    ln -sf /usr/local/bin/dohle "$folder/opt/kafka/bin/$name"
    ln -sf /usr/local/bin/dohle "$folder/usr/bin/$name"
  done
  ln -s /opt/kafka/bin "$folder/opt/bitnami/kafka/bin"
  for name in $start_scripts; do
    mkdir -p "$folder/$(dirname "$name")"
    ln -s /usr/local/bin/dohle "$folder/$name"
  done
  for name in $steps; do
    printf '#!/bin/sh\n# Nothing to do: dohle does this when it starts.\n' >"$folder/$name"
    chmod 0755 "$folder/$name"
  done
}

# rootfs BINARY OUT: the root folder as an archive, the same bytes for the same binary.
rootfs() {
  local binary=$1 out=$2 folder as_root name
  folder=$(mktemp -d)
  # mktemp's folder is for its maker only; it becomes the image's root.
  chmod 0755 "$folder"
  assemble "$binary" "$folder"
  as_root=(--sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 --format=gnu --directory "$folder")
  chmod 1777 "$folder/tmp"
  tar --create --file "$out" "${as_root[@]}" .
  for name in $data; do
    mkdir -p "$folder/$name"
    chmod 2775 "$folder/$name"
    tar --append --file "$out" "${as_root[@]}" --owner=1000 --no-recursion "./$name"
  done
  rm -rf "$folder"
}

build() {
  local tag=$1 context binary=${DOHLE_BINARY:-}
  # What is missing is reported before the build, which takes minutes.
  if ! command -v "${DOCKER:-docker}" >/dev/null; then
    say "image: ${DOCKER:-docker} is missing: it makes the image from the binary; DOCKER names another program, such as podman"
    return 1
  fi
  if [ -z "$binary" ]; then
    toolchain
    (cd "$root" && "${CARGO:-cargo}" build --profile image --locked --target "$target" --bin dohle)
    binary=${CARGO_TARGET_DIR:-$root/target}/$target/image/dohle
  fi
  context=$(mktemp -d)
  trap "rm -rf '$context'" EXIT
  rootfs "$binary" "$context/rootfs.tar"
  "${DOCKER:-docker}" build --quiet --tag "$tag" --file "$here/Dockerfile.prebuilt" ${BASE:+--build-arg BASE="$BASE"} \
    "$context"
}

case ${1:-} in
  build) build "${2:-dohle:latest}" ;;
  rootfs) rootfs "$2" "$3" ;;
  toolchain) toolchain ;;
  *) sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2 && exit 2 ;;
esac
