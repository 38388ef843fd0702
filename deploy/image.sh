#!/usr/bin/env bash
# Makes the images from a binary, without pulling anything.
#
#     deploy/image.sh build TAG              builds the static binary first, unless DOHLE_BINARY names one; makes two
#                                            images: TAG with a shell, TAG-distroless with nothing but the program
#     deploy/image.sh rootfs BINARY OUT.tar  only what goes into the image
#     deploy/image.sh binary                 builds the static binary, and prints its path
#     deploy/image.sh toolchain              adds what the static binary needs to be built with, or says what is missing
#
# FLAVORS is "shell", "distroless" or both; `rootfs` takes one of them, shell by default. The shell is Debian's bash-static
# and busybox-static: installed, downloaded with apt-get, or the files that BASH_STATIC and BUSYBOX name. BASE is an image
# to build on: then there is one image, with the shell of the base. DOCKER is the command to use instead of docker.
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
# The programs of BusyBox that are linked: those that read, write, compare, wait and look around. None that logs in, mounts,
# loads modules or stops the system.
programs="[ arch ascii ash awk base64 basename bc bunzip2 bzcat bzip2 cal cat chgrp chmod chown clear cmp comm cp cpio
  crc32 cut date dc dd df diff dirname dos2unix du echo ed egrep env expand expr factor false fgrep find fold free getopt
  grep groups gunzip gzip head hexdump hostid hostname id install ip join kill killall less link ln ls md5sum mkdir mkfifo
  mktemp more mv netstat nl nohup nproc nslookup od paste patch pidof ping ping6 printenv printf ps pwd readlink realpath
  renice reset rev rm rmdir route sed seq setsid sha1sum sha256sum sha3sum sha512sum shred shuf sleep sort split stat
  strings stty sum sync tac tail tar taskset tee test time timeout top touch tr traceroute true truncate ts tty uname
  unexpand uniq unix2dos unlink unxz unzip uptime usleep vi w watch wc wget which who whoami xargs xxd xz xzcat yes zcat"
# Names by which scripts of Bitnami's image find our functions.
libraries="libfile.sh liblog.sh libos.sh libvalidations.sh"

# Everything temporary; removed at the end.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

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

# binary: builds the static binary, and prints its path.
binary() {
  toolchain || return 1
  (cd "$root" && "${CARGO:-cargo}" build --profile image --locked --target "$target" --bin dohle) >&2 || return 1
  echo "${CARGO_TARGET_DIR:-$root/target}/$target/image/dohle"
}

is_static() { [ -x "$1" ] && ! ldd "$1" >/dev/null 2>&1; }

# shell_files: puts bash, busybox and the licenses of both into $work/shell.
shell_files() {
  local bash_static=${BASH_STATIC:-} busybox=${BUSYBOX:-} docs=/usr/share/doc name
  [ ! -d "$work/shell" ] || return 0
  if [ -z "$bash_static$busybox" ] && [ "${target%%-*}" != "$(uname -m)" ]; then
    say "image: for $target, name static programs with BASH_STATIC and BUSYBOX, or set FLAVORS=distroless"
    return 1
  fi
  [ -n "$bash_static" ] || bash_static=$(command -v bash-static || true)
  [ -n "$busybox" ] || busybox=$(command -v busybox || true)
  if ! is_static "$bash_static" || ! is_static "$busybox"; then
    if ! download_shell; then
      say "image: the shell of the image is missing. Either install it ('apt-get install bash-static busybox-static' on Debian"
      say "  and Ubuntu), or name two static programs with BASH_STATIC and BUSYBOX, or make only the image without a shell:"
      say "  make image FLAVORS=distroless"
      return 1
    fi
    bash_static=$work/packages/bin/bash-static busybox=$work/packages/bin/busybox
    docs=$work/packages/usr/share/doc
  fi
  mkdir "$work/shell"
  cp "$bash_static" "$work/shell/bash"
  cp "$busybox" "$work/shell/busybox"
  chmod 0755 "$work/shell/bash" "$work/shell/busybox"
  for name in bash-static busybox-static; do
    [ ! -e "$docs/$name/copyright" ] || cp "$docs/$name/copyright" "$work/shell/$name.copyright"
  done
}

# download_shell: unpacks Debian's packages in $work/packages. Needs no root where apt has its lists.
download_shell() {
  local package
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  say "image: downloading bash-static and busybox-static"
  mkdir -p "$work/packages"
  download() { (cd "$work/packages" && apt-get download -qq bash-static busybox-static >/dev/null 2>&1); }
  download || { [ "$(id -u)" = 0 ] && apt-get update -qq && download; } || return 1
  for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/packages" || return 1; done
  # Debian has moved /bin below /usr.
  [ -e "$work/packages/bin" ] || ln -s usr/bin "$work/packages/bin"
  is_static "$work/packages/bin/bash-static" && is_static "$work/packages/bin/busybox"
}

# tool_names BINARY: the names that the tools are called by, one a line.
tool_names() {
  local links
  links=$(mktemp -d)
  "$1" install-links "$links" >/dev/null
  ls "$links"
  rm -rf "$links"
}

# add_shell FOLDER: adds the shell, its programs, and what scripts for other images call, to the image's root folder.
add_shell() {
  local folder=$1 files=$work/shell name available
  shell_files
  mkdir -p "$folder"/{bin,usr/share/doc/bash-static,usr/share/doc/busybox-static,opt/bitnami/scripts}
  cp "$files/bash" "$files/busybox" "$folder/bin/"
  ln -s bash "$folder/bin/sh"
  ln -s ../../bin/bash "$folder/usr/bin/bash"
  available=$("$files/busybox" --list)
  for name in $programs; do
    if grep -qxF -- "$name" <<<"$available"; then ln -s busybox "$folder/bin/$name"; fi
  done
  ln -s ../../bin/busybox "$folder/usr/bin/env"
  cp "$here/image/nc" "$here/image/pgrep" "$here/image/cub" "$folder/usr/bin/"
  ln -s cub "$folder/usr/bin/ub"
  cp "$here/image/libkafka.sh" "$folder/opt/bitnami/scripts/"
  for name in $libraries; do ln -s libkafka.sh "$folder/opt/bitnami/scripts/$name"; done
  for name in bash-static busybox-static; do
    [ ! -e "$files/$name.copyright" ] || cp "$files/$name.copyright" "$folder/usr/share/doc/$name/copyright"
  done
  {
    echo "This image has two programs beside Dohle, unchanged from Debian's packages bash-static and busybox-static:"
    "$files/bash" --version | sed -n 1p
    "$files/busybox" 2>&1 | sed -n 1p
    echo "bash is free software under the GNU General Public License, version 3 or later, BusyBox under version 2."
    echo "Their sources are Debian's source packages bash and busybox of these versions (snapshot.debian.org)."
  } >"$folder/usr/share/doc/SHELL"
  chmod 0755 "$folder/usr/bin/nc" "$folder/usr/bin/pgrep" "$folder/usr/bin/cub"
  chmod -R u+rwX,go+rX,go-w "$folder/usr/share/doc" "$folder/opt/bitnami/scripts"
}

# assemble BINARY FOLDER FLAVOR: puts the image's root folder together. FLAVOR is shell, distroless or base.
assemble() {
  local binary=$1 folder=$2 flavor=$3 name shell=/sbin/nologin
  mkdir -p "$folder"/{etc,opt/kafka/bin,opt/kafka/config,opt/bitnami/kafka/config,mnt/shared/config,root,usr/bin} \
    "$folder"/{usr/local/bin,bitnami/kafka/config,etc/kafka/secrets,proc,sys,dev,run} "$folder/tmp"
  cp "$binary" "$folder/usr/local/bin/dohle"
  chmod 0755 "$folder/usr/local/bin/dohle"
  if [ "$flavor" = shell ]; then
    shell=/bin/bash
    add_shell "$folder"
  fi
  if [ "$flavor" != base ]; then
    printf 'root:x:0:0:root:/root:%s\nkafka:x:1000:1000:kafka:/:%s\n' "$shell" "$shell" >"$folder/etc/passwd"
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

# rootfs BINARY OUT FLAVOR: the root folder as an archive, the same bytes for the same binary.
rootfs() {
  local binary=$1 out=$2 flavor=$3 folder=$work/root-$3 as_root name
  # The folder becomes the image's root.
  mkdir -m 0755 "$folder"
  assemble "$binary" "$folder" "$flavor"
  as_root=(--sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 --format=gnu --directory "$folder")
  chmod 1777 "$folder/tmp"
  tar --create --file "$out" "${as_root[@]}" .
  for name in $data; do
    mkdir -p "$folder/$name"
    chmod 2775 "$folder/$name"
    tar --append --file "$out" "${as_root[@]}" --owner=1000 --no-recursion "./$name"
  done
}

# tag_of TAG FLAVOR: the name of an image; its version is latest where the tag has none.
tag_of() {
  case $2:${1##*/} in
    distroless:*:*) echo "$1-distroless" ;;
    distroless:*) echo "$1:latest-distroless" ;;
    *) echo "$1" ;;
  esac
}

build() {
  local binary=${DOHLE_BINARY:-} flavors=${FLAVORS:-shell distroless} flavor tag context
  [ -z "${BASE:-}" ] || flavors=base
  # What is missing is reported before the build, which takes minutes.
  if ! command -v "${DOCKER:-docker}" >/dev/null; then
    say "image: ${DOCKER:-docker} is missing: it makes the image from the binary; DOCKER names another program, such as podman"
    return 1
  fi
  if [[ " $flavors " == *" shell "* ]]; then shell_files; fi
  [ -n "$binary" ] || binary=$(binary)
  for flavor in $flavors; do
    tag=$(tag_of "$1" "$flavor")
    context=$work/context-$flavor
    mkdir "$context"
    rootfs "$binary" "$context/rootfs.tar" "$flavor"
    "${DOCKER:-docker}" build --quiet --tag "$tag" --file "$here/Dockerfile.prebuilt" \
      ${BASE:+--build-arg BASE="$BASE"} "$context"
    say "image: made $tag"
  done
}

case ${1:-} in
  build) build "${2:-dohle:latest}" ;;
  rootfs) rootfs "$2" "$3" "${FLAVORS:-shell}" ;;
  toolchain) toolchain ;;
  binary) binary ;;
  *) sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//' >&2 && exit 2 ;;
esac
