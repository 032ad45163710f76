#!/bin/bash
# chroot.sh LOWER UPPER STICK COMMAND...: run a command on a host that is the directories LOWER
# (`:` between them, the newest first) and what was changed there, in UPPER. The stick is mounted at
# /mnt/appliance, read-only and noexec; there is no network but loopback. With TRACE=FILE the system
# calls of the network are written there. Mounts and namespaces are private; the machine keeps its
# own. Needs root.
set -euo pipefail
lower=$1 upper=$2 stick=$3
shift 3
if [ "${INNER:-}" != 1 ]; then
  INNER=1 exec unshare --mount --net --pid --fork --propagation private \
    "$0" "$lower" "$upper" "$stick" "$@"
fi
unset INNER
root=$upper.root
mkdir -p "$upper" "$upper.work" "$root"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$upper.work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root/mnt/appliance"
mount --bind "$stick" "$root/mnt/appliance"
mount -o remount,bind,ro,noexec "$root/mnt/appliance"
python3 -c "import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 1 | 64))"  # lo up
trace=()
[ -z "${TRACE:-}" ] || trace=(strace -f --seccomp-bpf -e trace=network -o "$TRACE")
exec "${trace[@]}" chroot "$root" /usr/bin/env -i HOME=/root TERM=dumb \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
