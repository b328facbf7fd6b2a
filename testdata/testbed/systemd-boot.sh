#!/bin/bash
# systemd-boot.sh LOWER SCRATCH [SRC:DST...]: boot systemd as PID 1, in namespaces of its own, from the tree LOWER.
#
# LOWER is / (the systemd of this host) or a folder made by systemd-root.sh; nothing is written there: all changes go to
# memory. SCRATCH is an empty folder to mount on. Each SRC is seen as DST inside. The network is a loopback of its own.
# It runs until systemd powers off or this process is killed; the control group SCRATCH/cgroup names is left then.
# Enter with: nsenter -t PID -a COMMAND, PID being that of the systemd.
set -eu
lower=$(readlink -f "$1") scratch=$(readlink -f "$2")
shift 2
group=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)
if [ -z "$group" ]; then
  group=/run/beamkeeper-cgroup2
  mkdir -p $group
  mount -t cgroup2 none $group
fi
group=$group/systemd-boot.$$
mkdir "$group"
echo $$ >"$group/cgroup.procs"
echo "$group" >"$scratch/cgroup"
export lower scratch
exec unshare --fork --kill-child --pid --mount --uts --ipc --cgroup --net bash -c '
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$scratch"
root=$scratch/root
mkdir "$root" "$scratch/upper" "$scratch/work"
mount -t overlay -o "lowerdir=$lower,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$root"
units=$root/etc/systemd/system
for unit in console-getty.service getty@tty1.service systemd-timesyncd.service epmd.service epmd.socket postgresql.service \
  systemd-modules-load.service e2scrub_reap.service systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer man-db.timer; do
  ln -sf /dev/null "$units/$unit"
done
mkdir -p "$units/systemd-journald.service.d" "$root/etc/systemd/journald.conf.d"
printf "[Journal]\nStorage=volatile\nRateLimitBurst=0\n" >"$root/etc/systemd/journald.conf.d/testbed.conf"
hostname testbed
echo testbed >"$root/etc/hostname"
printf "127.0.0.1 localhost\n127.0.1.1 testbed\n" >"$root/etc/hosts"
: >"$root/etc/fstab"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys" 2>/dev/null || mount --rbind /sys "$root/sys"
umount -R "$root/sys/fs/cgroup" 2>/dev/null || true
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
for d in null zero full random urandom tty; do
  touch "$root/dev/$d"
  mount --bind "/dev/$d" "$root/dev/$d"
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/dev/shm"
: >"$root/dev/console"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
for b in "$@"; do
  src=${b%%:*} dst=$root${b#*:}
  if [ -d "$src" ]; then mkdir -p "$dst"; else mkdir -p "$(dirname "$dst")"; touch "$dst"; fi
  mount --bind "$src" "$dst"
done
ip link set lo up
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l .old
exec env -i container=testbed PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target --show-status=0 </dev/null
' systemd-boot "$@"
