#!/bin/sh
# The first step on the host: copy what is needed from the stick, check the copy, then run the
# installer on the Python that the bundle brings. Needs sh, coreutils, tar, gzip and openssl.
#
#   sh install.sh --media DIR [--answers FILE] [--fingerprint HEX] [--user] [--dry-run] [--json]
#   sh install.sh verify --media DIR
#
# Nothing of the bundle runs before its signature and the digests of the copies are good, and no
# option changes that.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C
unset IFS CDPATH ENV BASH_ENV LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT GZIP TAR_OPTIONS POSIXLY_CORRECT \
  OPENSSL_CONF OPENSSL_MODULES OPENSSL_ENGINES TMPDIR
umask 022

say() { printf '%s\n' "$*" >&2; }
text() { printf '%s' "$1" | tr '\n\t' '  ' | tr -cd ' -~' | sed 's/[\\"]/\\&/g'; }
refuse() { # refuse CODE MESSAGE WHAT-TO-DO
  say "$1: $2"
  say "  -> $3"
  case " ${rest:-} " in *' --json '*)
    printf '{"ok": false, "code": "%s", "message": "%s", "hint": "%s"}\n' \
      "$1" "$(text "$2")" "$(text "$3")" ;; esac
  [ -z "${boot:-}" ] || rm -rf "$boot"
  exit 1
}
here() { (cd "$(dirname -- "$1")" && printf '%s/%s' "$(pwd -P)" "$(basename -- "$1")"); }

command=install media='' answers='' fingerprint='' state='' user='' rest=''
case ${1:-} in install | verify) command=$1; shift ;; esac
while [ $# -gt 0 ]; do
  case $1 in
    --media) media=${2:?--media DIR}; shift ;;
    --answers) answers=${2:?--answers FILE}; shift ;;
    --fingerprint) fingerprint=${2:?--fingerprint HEX}; shift ;;
    --state) state=${2:?--state DIR}; shift ;;
    --user) user=--user ;;
    --dry-run | --json) rest="$rest $1" ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) say "usage: sh install.sh [verify] --media DIR [options]: unknown: $1"; exit 2 ;;
  esac
  shift
done
[ -n "$media" ] || { say "usage: sh install.sh [verify] --media DIR [options]"; exit 2; }
[ -d "$media" ] || refuse media_missing "$media is not a directory." \
  "Mount the stick and pass its directory with --media."
media=$(cd "$media" && pwd -P)
boot='' script=$(here "$0")
[ "$(uname -m)" = x86_64 ] || refuse machine_unsupported "This host is $(uname -m)." \
  "This bundle is for another kind of machine."

value() { # value KEY: a line KEY = "..." of the answer file
  [ -n "$answers" ] || return 0
  sed -n "1s/^$bom//;s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*[\"']\\([^\"']*\\)[\"'].*/\\1/p" \
    "$answers" | head -n 1
}
bom=$(printf '\357\273\277') # at the beginning of a file that was written on Windows
if [ -n "$answers" ]; then
  [ -f "$answers" ] || refuse answers_invalid "$answers is not there." "Pass the file with --answers."
  answers=$(here "$answers")
fi
[ -n "$state" ] || state=$(value state)
if [ -n "$user" ]; then
  : "${state:=$HOME/.local/state/appliance-install}"
  etc=$HOME/.config/appliance
else
  : "${state:=/var/lib/appliance-install}"
  etc=/etc/appliance
  [ "$(id -u)" = 0 ] || refuse not_root "This installs for the whole host." \
    "Run it as root, or pass --user to install below your home directory."
fi
command -v openssl >/dev/null || refuse openssl_missing "This host has no openssl." \
  "Install the openssl package from the medium of your operating system."

# 1. Copy the first files: a stick may answer two reads differently, so only the copy counts.
made=''
[ -d "$state" ] || made=$state
mkdir -p "$state" 2>/dev/null || refuse mount_readonly "$state cannot be made." \
  "Choose a directory that can be written, with --state or state in the answers."
boot=$(mktemp -d "$state/boot.XXXXXX") || refuse disk_full "$state cannot be written." \
  "Free space on that file system, or choose another with --state."
quit() { rm -rf "$boot"; [ -z "$made" ] || rmdir "$made" 2>/dev/null || :; }
trap 'quit; exit 1' HUP INT TERM
for name in MANIFEST.sha256 MANIFEST.sig vendor.pub manifest.json install.pyz runtime.tar.gz; do
  if [ ! -f "$media/$name" ] || [ -L "$media/$name" ]; then
    refuse file_missing "$name is not on the stick." \
      "The stick is not complete. Copy the bundle onto it again and compare."
  fi
  said=$(cp -- "$media/$name" "$boot/$name" 2>&1) || {
    case $said in *'o space'*) quit; refuse disk_full "$name: no space in $state." \
      "Free space on that file system, or choose another with --state." ;; esac
    quit; refuse media_unreadable "$name cannot be copied: $said" \
      "Take the stick out and in again; if it stays so, use another."
  }
done

# 2. The key: the one pinned here, or the one whose fingerprint is on paper.
print_of=$(sha256sum <"$boot/vendor.pub"); print_of=${print_of%% *}
[ -n "$fingerprint" ] || fingerprint=$(value fingerprint)
fingerprint=$(printf '%s' "$fingerprint" | tr 'A-F' 'a-f' | tr -d ' :') # as the paper has it
if [ -f "$etc/trust/vendor.pub" ]; then
  cmp -s "$etc/trust/vendor.pub" "$boot/vendor.pub" || { quit; refuse key_changed \
    "The bundle is signed with another key than the one pinned in $etc/trust." \
    "Do not use it unless the vendor announced a new key on paper; see the guide."; }
elif [ -z "$fingerprint" ] && [ "$command" = install ] && [ -t 0 ]; then
  say "The key of this bundle has the fingerprint"
  say "  $print_of"
  printf 'Compare it with the paper. Is it the same, every character? Type yes: ' >&2
  read -r reply
  [ "$reply" != yes ] || fingerprint=$print_of
fi
if [ ! -f "$etc/trust/vendor.pub" ] && [ "$command" = install ]; then
  # The right one is not named: somebody would copy it.
  [ -n "$fingerprint" ] || { quit; refuse key_unknown "No fingerprint of the vendor's key was given." \
    "Type the one on the paper after --fingerprint, or into the answers. Never take it from the stick."; }
  [ "$fingerprint" = "$print_of" ] || { quit; refuse key_unknown \
    "The key of this bundle has another fingerprint than the one given." \
    "Compare what was typed with the paper, every digit. If they are the same, do not use this stick."; }
fi

# 3. Signature, then the digests of the copies.
said=$(openssl dgst -sha384 -verify "$boot/vendor.pub" -signature "$boot/MANIFEST.sig" \
  "$boot/MANIFEST.sha256" 2>&1) || { quit; refuse signature_invalid \
  "The signature of MANIFEST.sha256 is not good: $said" \
  "Do not use this stick. Tell whoever gave you the bundle."; }
for name in vendor.pub manifest.json install.pyz runtime.tar.gz; do
  wanted=$(sed -n "s/^\\([0-9a-f]\\{64\\}\\)  $name\$/\\1/p" "$boot/MANIFEST.sha256")
  found=$(sha256sum <"$boot/$name"); found=${found%% *}
  [ "$wanted" = "$found" ] || { quit; refuse file_changed "$name is not what was signed." \
    "Do not use this stick. Copy the bundle onto another and compare."; }
done

# 4. The runtime, from the checked copy.
mkdir "$boot/root" 2>/dev/null || { quit; refuse disk_full "$state is full." \
  "Free space on that file system, or choose another with --state."; }
said=$(tar -xzf "$boot/runtime.tar.gz" -C "$boot/root" --no-same-owner 2>&1) || { quit
  refuse disk_full "The runtime cannot be unpacked in $state: $said" \
    "Free space on that file system, or choose another with --state."; }
said=$("$boot/root/usr/bin/python" -I -c '' 2>&1) || { quit
  [ ! -p /run/fapolicyd/fapolicyd.fifo ] || refuse programs_denied \
    "fapolicyd runs, and programs in $state do not: $said" \
    "Add the rules of the guide, section 'A host with fapolicyd'; then run the same command again."
  refuse mount_noexec "Programs in $state do not run: $said" \
    "Choose a directory on a file system that is mounted with exec, with --state."; }

# 5. From here on it is Python.
set -- "$command" --media "$media" --boot "$boot" --state "$state"
[ -z "$user" ] || set -- "$@" "$user"
if [ "$command" = install ]; then
  [ -z "$answers" ] || set -- "$@" --answers "$answers"
  [ -z "$fingerprint" ] || set -- "$@" --fingerprint "$fingerprint"
  # shellcheck disable=SC2086 # two options without values
  set -- "$@" $rest
else
  case $rest in *--json*) set -- "$@" --json ;; esac
fi
status=0
env -i PATH="$PATH" LC_ALL=C.UTF-8 HOME="${HOME:-/}" \
  ${XDG_RUNTIME_DIR:+XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR"} \
  "$boot/root/usr/bin/python" -I -B "$boot/install.pyz" "$@" || status=$?
quit
exit "$status"
