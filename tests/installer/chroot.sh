#!/bin/bash
# chroot.sh ROOT STICK COMMAND...: run a command in the chroot ROOT with the stick mounted at
# /mnt/stick, read-only and noexec; without a network but for loopback. Private mounts and
# namespaces: the machine keeps its own. Needs root.
set -euo pipefail
root=$1 stick=$2
shift 2
if [ "${INNER:-}" != 1 ]; then
  INNER=1 exec unshare --mount --net --pid --fork --propagation private "$0" "$root" "$stick" "$@"
fi
unset INNER
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mkdir -p "$root/mnt/stick"
mount --bind "$stick" "$root/mnt/stick"
mount -o remount,bind,ro,noexec "$root/mnt/stick"
python3 -c "import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh', b'lo', 1 | 64))"  # lo up
exec chroot "$root" /usr/bin/env -i HOME=/root TERM=dumb \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
