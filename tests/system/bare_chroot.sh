#!/usr/bin/env bash
# Try the product on a bare machine: a fresh Debian in a directory, the packages that the
# README names and nothing else, a clean clone of this checkout's HEAD, an empty home.
#
#   tests/system/bare_chroot.sh DIRECTORY [TARGET...]      as root; default target: demo
#
# SUITE (trixie), MIRROR (debootstrap's default) and KEEP=1 (leave DIRECTORY there to look at,
# and go on with it next time) are taken from the environment, as are all PIP_* variables. If
# this machine reaches the package index through a pip configuration or a certificate bundle
# of its own, these are copied. Prints seconds and disk space after each step.
set -euo pipefail

[ $# -ge 1 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 2; }
root=$(realpath -m "$1")
shift
[ $# -gt 0 ] || set -- demo
checkout=$(cd "$(dirname "$0")/../.." && pwd)

# In a mount namespace of its own: the mounts below end with this script.
if [ "${BARE_CHROOT_INNER:-}" != 1 ]; then
  [ "$(id -u)" -eq 0 ] || { echo "run this as root" >&2; exit 2; }
  export BARE_CHROOT_INNER=1
  exec unshare --mount --propagation private "$0" "$root" "$@"
fi

step() { # step NAME OUTPUT COMMAND...: run it, then say how long it took and how full the disk is
  local name=$1 output=$2 began=$SECONDS status=0
  shift 2
  echo "== $name"
  "$@" >>"$output" || status=$?
  echo "== $name: exit $status, $((SECONDS - began)) s, $(du -sxm "$root" | cut -f1) MB in all"
  return "$status"
}

inside() { # inside COMMAND...: in the chroot, with an empty environment but for what pip needs
  local keep=() name
  for name in $(compgen -e); do
    case $name in PIP_*) keep+=("$name=${!name}") ;; esac
  done
  [ ! -e "$root/etc/ssl/bare.crt" ] || keep+=(PIP_CERT=/etc/ssl/bare.crt)
  chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 TERM=dumb DEBIAN_FRONTEND=noninteractive \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${keep[@]}" "$@"
}

if [ ! -e "$root/bare-is-complete" ]; then
  rm -rf --one-file-system "$root"
  mkdir -p "$root"
  step "debootstrap ${SUITE:=trixie}" "$root.log" \
    debootstrap --variant=minbase "$SUITE" "$root" ${MIRROR:+"$MIRROR"}
  cp /etc/resolv.conf "$root/etc/"
  for path in /etc/pip.conf /etc/xdg/pip; do
    [ ! -e "$path" ] || cp -r --parents "$path" "$root"
  done
  bundle=${PIP_CERT:-${SSL_CERT_FILE:-}}
  [ -z "$bundle" ] || install -D -m 644 "$bundle" "$root/etc/ssl/bare.crt"
  touch "$root/bare-is-complete"
fi
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

if [ ! -e "$root/root/checkout" ]; then
  # Nothing is there yet, and `make` must say what to install.
  packages=$(sed -n 's/^SYSTEM := //p' "$checkout/Makefile")
  step "$packages" "$root.log" inside sh -c "apt-get update -qq && $packages"
  git clone -q "file://$checkout" "$root/root/checkout"
fi
git -C "$root/root/checkout" pull -q --ff-only
for target in "$@"; do
  case $target in
    .ci/run) step "$target" /dev/stdout inside sh -c "cd /root/checkout && ./.ci/run" ;;
    *) step "make $target" /dev/stdout inside make -C /root/checkout "$target" ;;
  esac
done
if [ "${KEEP:-}" != 1 ]; then
  umount --recursive --lazy "$root/proc" "$root/dev"  # private mounts: the machine keeps its own
  rm -rf --one-file-system "$root" "$root.log"
fi
