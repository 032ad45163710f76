#!/bin/bash
# guest.sh IMAGE WORK: boot the systemd of a disk image in a container without a network, until it
# powers off. What it writes is kept in WORK/up; WORK/stick is at /mnt/s, read-only and noexec.
# Needs root, systemd-nspawn and cgroup2. Mounts are private and end with the container.
set -euo pipefail
image=$1 work=$2
if [ "${INNER:-}" != 1 ]; then
  INNER=1 exec unshare --mount --pid --fork --kill-child --mount-proc --propagation private "$0" "$@"
fi
unset INNER
mkdir -p "$work"/{low,up,over,root}
mount -o loop,ro "$image" "$work/low"
mount -t overlay overlay -o "lowerdir=$work/low,upperdir=$work/up,workdir=$work/over" "$work/root"
mount --bind "$work/stick" "$work/stick"
mount -o remount,bind,ro,noexec "$work/stick"
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec systemd-nspawn --quiet --directory="$work/root" --private-network --register=no --keep-unit \
  --console=pipe --bind-ro="$work/stick:/mnt/s" --system-call-filter="@sandbox bpf" --boot </dev/null
