#!/bin/sh
# sshd.sh DEST: put the system's own version of the server sshd into the folder DEST, without installing it.
#
# Installed, it would run from then on. The packages are downloaded by apt and unpacked; no root is needed. A .complete
# file marks success.
set -eu

[ $# -eq 1 ] || { echo "usage: sshd.sh DEST" >&2; exit 2; }
mkdir -p "$1"
dest=$(cd "$1" && pwd)
exec 9>"$dest.lock"
flock 9
[ ! -e "$dest/.complete" ] || exit 0
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 0777 "$stage"
(cd "$stage" && apt-get -qq download openssh-server libwrap0)
for d in "$stage"/*.deb; do dpkg-deb -x "$d" "$dest"; done
[ -x "$dest/usr/sbin/sshd" ]
touch "$dest/.complete"
