#!/bin/sh
# kernel.sh DEST: put the system's newest Linux kernel for clouds into the folder DEST, for the tests that boot a virtual machine.
#
# DEST/vmlinuz is the kernel, DEST/modules those of its modules that the machine needs. Nothing is installed. It takes a few
# seconds and 10 MB, once: DEST/.complete marks success.
set -eu

[ $# -eq 1 ] || { echo "usage: kernel.sh DEST" >&2; exit 2; }
mkdir -p "$(dirname "$1")"
dest=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")

exec 9>"$dest.lock"
flock 9
[ -e "$dest/.complete" ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod a+rx "$work" # apt may download as a user of its own
download() {
  package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  [ -n "$package" ] && (cd "$work" && apt-get -qq download "$package" >"$work/log" 2>&1)
}
download || { apt-get -qq update && download; } || { # the lists may be old, or missing
  echo "kernel.sh: linux-image-cloud-amd64 cannot be downloaded" >&2
  cat "$work/log" >&2
  exit 1
}
dpkg-deb -x "$work"/*.deb "$work/root"

rm -rf "$dest"
mkdir -p "$dest/modules"
cp "$work"/root/boot/vmlinuz-* "$dest/vmlinuz"
for name in virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk virtio_console; do
  module=$(find "$work/root" -name "$name.ko*" | head -n 1)
  case $module in
  '') continue ;; # part of the kernel
  *.xz) xz -dc "$module" >"$dest/modules/$name.ko" ;;
  *) cp "$module" "$dest/modules/$name.ko" ;;
  esac
done
touch "$dest/.complete"
