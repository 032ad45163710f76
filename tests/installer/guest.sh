#!/bin/bash
# guest.sh ROOT: boot the systemd of the directory ROOT as process 1 of namespaces of its own,
# without a network, until it exits. Needs root and cgroup2. Mounts are private; the machine keeps its own.
set -euo pipefail
root=$1
if [ "${INNER:-}" != 1 ]; then
  INNER=1 exec unshare --mount --pid --uts --ipc --net --cgroup --fork \
    --propagation private "$0" "$root"
fi
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/dev" -o mode=755
for device in null zero full random urandom tty; do cp -a "/dev/$device" "$root/dev/"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts devpts "$root/dev/pts" -o newinstance,ptmxmode=0666
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
touch "$root/dev/console"
exec chroot "$root" /usr/bin/env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --log-target=console
