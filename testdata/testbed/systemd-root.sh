#!/bin/sh
# systemd-root.sh SUITE DEST: put a minimal Debian of a suite, with systemd and D-Bus, into the folder DEST.
#
# trixie has systemd 257. Needs root and debootstrap, takes about a minute and 350 MB, once: DEST/.complete marks success.
# Tests do not write there; they mount an overlay on it (systemd-boot.sh).
set -eu

[ $# -eq 2 ] || { echo "usage: systemd-root.sh SUITE DEST" >&2; exit 2; }
suite=$1
mkdir -p "$(dirname "$2")"
dest=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")

exec 9>"$dest.lock"
flock 9
[ -e "$dest/.complete" ] && exit 0

# the mirror that the system itself uses
mirror=${MIRROR:-$(grep -hoE '^(deb|URIs:) .*' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
  grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ' || true)}
[ -n "$mirror" ] || { echo "systemd-root.sh: no Debian mirror in /etc/apt; set MIRROR" >&2; exit 1; }

rm -rf "$dest"
debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,procps --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
  "$suite" "$dest" "$mirror" >"$dest.log" 2>&1 || { tail -n 20 "$dest.log" >&2; exit 1; }
rm -rf "$dest"/var/cache/apt/archives/*.deb "$dest"/var/lib/apt/lists/* "$dest/usr/share/doc" "$dest/usr/share/locale" "$dest.log"
touch "$dest/.complete"
