#!/bin/sh
# install.sh run|test: install what `make run` or `make test` needs and is missing.
#
# System packages come from the system's own package manager (with sudo when not root); OTP 23, 27 and 29, which live
# beside the system's OTP, are unpacked into the cache folder (${XDG_CACHE_HOME:-~/.cache}/beamkeeper) by otp.sh.
# With everything present it installs nothing, needs no root and says nothing.
set -eu

tier=${1:-}
case $tier in run|test) ;; *) echo "usage: install.sh run|test" >&2; exit 2 ;; esac
here=$(cd "$(dirname "$0")" && pwd)

missing=
need() { # need COMMAND-OR-FILE PACKAGE...
  case $1 in
  /*) for f in $1; do [ -e "$f" ] && return; done ;;
  *) command -v "$1" >/dev/null 2>&1 && return ;;
  esac
  shift
  missing="$missing $*"
}
otp_app() { # otp_app APPLICATION PACKAGE: an OTP application that Debian packs by itself
  command -v erl >/dev/null 2>&1 || { missing="$missing $2"; return; }
  root=$(erl -noshell -eval 'io:format("~s", [code:root_dir()]), halt().')
  for d in "$root/lib/$1"-*; do [ -d "$d" ] && return; done
  missing="$missing $2"
}

if ! command -v go >/dev/null 2>&1; then
  echo "Go is not on PATH. Install Go 1.26 or newer (https://go.dev/doc/install), then run this again." >&2
  exit 1
fi
need erl erlang-base
need erlc erlang-base erlang-dev
otp_app crypto erlang-crypto
otp_app ssl erlang-ssl
otp_app inets erlang-inets
otp_app runtime_tools erlang-runtime-tools
otp_app syntax_tools erlang-syntax-tools
otp_app parsetools erlang-parsetools
otp_app eunit erlang-eunit
otp_app tools erlang-tools
need rebar3 rebar3
if [ "$tier" = test ]; then
  otp_app mnesia erlang-mnesia
  otp_app os_mon erlang-os-mon
  otp_app observer erlang-observer
  otp_app wx erlang-wx
  need Xvfb xvfb
  need openbox openbox
  need xdotool xdotool
  need import imagemagick
  need mix elixir
  need gcc gcc libc6-dev
  need patchelf patchelf
  need minisign minisign
  need ssh openssh-client
  need /sbin/ip iproute2
  need /usr/sbin/visudo sudo
  need /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
  need /lib/systemd/systemd systemd dbus
  need nsenter util-linux
  need ip iproute2
  [ "$(id -u)" != 0 ] || need debootstrap debootstrap
  need rpm rpm
  if [ "$(id -u)" = 0 ] && [ "$(uname -m)" = x86_64 ]; then
    need qemu-system-x86_64 qemu-system-x86
    need mkfs.ext4 e2fsprogs
  fi
fi

if [ -n "$missing" ]; then
  packages=$(echo "$missing" | tr ' ' '\n' | sort -u | tr '\n' ' ')
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "Missing:$missing. This script knows only apt-get; install their like with your package manager." >&2
    exit 1
  fi
  sudo=
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "Missing: $packages. Install them as root: apt-get install $packages" >&2; exit 1; }
    sudo=sudo
  fi
  echo "Installing system packages: $packages"
  $sudo apt-get -qq update
  # a package cache of its own: a list update running beside us may empty the shared one
  archives=$(mktemp -d)
  mkdir "$archives/partial"
  chmod -R a+rx "$archives"
  trap '$sudo rm -rf "$archives"' EXIT
  # shellcheck disable=SC2086
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
    -o Dir::Cache::archives="$archives" -o Dpkg::Use-Pty=0 install $packages >"$archives/log" 2>&1 ||
    { cat "$archives/log" >&2; exit 1; }
fi

if [ "$tier" = test ]; then
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/beamkeeper
  unpack() { # unpack RELEASE SUITE [window]
    [ -e "$cache/otp-$1/.complete" ] && { [ -z "${3:-}" ] || [ -e "$cache/otp-$1/.$3" ]; } && return
    echo "Unpacking OTP $1 into $cache/otp-$1 (once)"
    "$here/otp.sh" "$2" "$cache/otp-$1" ${3:-}
  }
  unpack 23 bullseye
  unpack 27 trixie window
  unpack 29 forky
  [ -e "$cache/sshd/.complete" ] || "$here/sshd.sh" "$cache/sshd"
  # the servers of S3 and of Google Cloud Storage; their modules are no part of the program's
  built=$cache/emulators/.built-from
  if ! cmp -s "$here/emulators/go.sum" "$built"; then
    echo "Building versitygw and fake-gcs-server into $cache/emulators (once)"
    mkdir -p "$cache/emulators"
    (cd "$here/emulators" && go build -o "$cache/emulators/" github.com/versity/versitygw/cmd/versitygw github.com/fsouza/fake-gcs-server)
    cp "$here/emulators/go.sum" "$built"
  fi
  # systemd 257, for the tests that boot it; they need root
  if [ "$(id -u)" = 0 ] && [ ! -e "$cache/systemd-trixie/.complete" ]; then
    echo "Making a Debian trixie with systemd in $cache/systemd-trixie (once)"
    "$here/systemd-root.sh" trixie "$cache/systemd-trixie"
  fi
  # a kernel for the tests that boot a virtual machine
  if [ "$(id -u)" = 0 ] && [ "$(uname -m)" = x86_64 ] && [ ! -e "$cache/kernel-cloud/.complete" ]; then
    echo "Unpacking a kernel into $cache/kernel-cloud (once)"
    "$here/kernel.sh" "$cache/kernel-cloud"
  fi
fi
