"""Every refusal of the installer: a stable code, what happened, and what to do next.

Rules: a code is never reused for something else; the hint instructs an admin.
"""

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Final

CODES: Final = {
    # the stick
    "media_missing": "Mount the stick and pass its directory with --media.",
    "media_unreadable": "Take the stick out and in again; if it stays so, use another.",
    "file_missing": "The stick is not complete. Copy the bundle onto it again and compare.",
    "file_truncated": "The stick is not complete. Copy the bundle onto it again and compare.",
    "file_changed": "Do not use this stick. Copy the bundle onto another and compare; if it is so "
    "there too, tell the person who gave you the bundle.",
    "file_unlisted": "Somebody added this file. Find out who; copy the bundle onto an empty stick.",
    "names_collide": "Do not use this bundle; tell the person who gave it to you.",
    "signature_invalid": "Do not use this stick. Tell the person who gave you the bundle.",
    "signature_missing": "Copy MANIFEST.sha256, MANIFEST.sig and vendor.pub from the stick again.",
    "key_unknown": "Compare what was typed with the fingerprint on paper, every digit. If they are "
    "the same, do not use this stick.",
    "key_changed": "The bundle is signed with another key than the one pinned here. Do not use it "
    "unless the vendor announced a new key on paper; then run `appliance-installer vendor-key`.",
    "openssl_missing": "Install the openssl package from the medium of your operating system.",
    "manifest_invalid": "Do not use this bundle; tell the person who gave it to you.",
    "bundle_older": "A newer release was installed here before. Use the newest bundle; to return "
    "to the release before, use `appliance-installer rollback`.",
    "machine_unsupported": "This bundle is for another kind of machine.",
    "set_unfit": "Build the tuning set for the Python of the release: `--python` of "
    "`appliance bundle tuning`.",
    "gpu_driver_missing": "Install the NVIDIA driver and load its module (`nvidia-smi` then names "
    "the GPU), or use the tuning set for the processor: built without `--gpu`.",
    "gpu_driver_too_old": "Install a newer NVIDIA driver, or use the tuning set for the processor: "
    "built without `--gpu`.",
    # the host
    "preflight_failed": "Correct what is listed, then run the same command again.",
    "cpu_unsuitable": "Use a host with a 64-bit x86 processor that has SSE4.2.",
    "kernel_too_old": "Use a kernel from 5.13 on, with seccomp and Landlock.",
    "memory_low": "Use a host with more memory, or stop what uses it.",
    "disk_full": "Free space on that file system, or choose another with prefix, data or state.",
    "inodes_low": "Free inodes on that file system, or choose another.",
    "mount_noexec": "Choose a directory on a file system that is mounted with exec.",
    "programs_denied": "Add the rules of the guide, section 'A host with fapolicyd'; then run the "
    "same command again.",
    "mount_readonly": "Mount that file system for writing, or choose another directory.",
    "not_root": "Run it as root, or pass --user to install below your home directory.",
    "port_taken": "Stop the program that listens there, or choose another with `port`.",
    "systemd_missing": "Set service = \"none\" in the answers and start the server by other means.",
    "service_running": "Stop the running server first: it is not under systemd.",
    "data_unusable": "Choose an empty directory, or the data directory of an earlier installation.",
    "command_taken": "Move that file away, or install with --user.",
    "path_too_long": "Choose a shorter path for data.",
    "model_missing": "Correct `models` in the answers, or use the stick that has the model.",
    "trust_missing": "Set trust in the answers to the directory on the security officer's stick, "
    "or use a bundle that was built with --trust.",
    "answers_invalid": "Correct the answer file; the guide lists its keys.",
    "not_installed": "Install from a stick first.",
    "nothing_to_roll_back": "There is no earlier release on this host. Install one from its stick.",
    "schema_changed": "Pass --with-snapshot to put the databases of before the upgrade back; what "
    "was changed since (keys, approvals, documents) is lost, the audit log is not.",
    # the run
    "installer_running": "Wait until the other installer has ended.",
    "tree_differs": "The disk or the memory of this host is unreliable, or somebody wrote to it. "
    "Run the same command again; if it is so again, use another disk.",
    "release_changed": "Somebody changed the installed files. Keep them as evidence and install "
    "the release again from its stick.",
    "step_failed": "Read the text above; correct it and run the same command again.",
    "log_newer": "The newer release stays in service: the earlier one does not read its entries.",
    "health_failed": "The release before is in service again. Keep installer.log, in the "
    "installer's state directory, for the vendor.",
    "ledger_damaged": "Somebody or a failing disk changed the ledger. Keep it as evidence, move it "
    "away and run the same command again.",
    "backup_invalid": "This is not a whole backup of this product. Use another one.",
    "backup_sealed": "Pass --key with an officer's private key: a file, or pkcs11:token=...; the "
    "reason is above if you did.",
    "backup_exists": "Choose another file name.",
    "data_present": "Move the data directory away first; restoring never overwrites one.",
    "interrupted": "The service is as before. Run the same command again to continue.",
}  # fmt: skip


class InstallError(Exception):
    """A refusal: `code` is stable, `message` says what, `hint` what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def hint(self) -> str:
        return CODES[self.code]

    def lines(self) -> list[str]:
        return [f"{self.code}: {self.message}", f"  -> {self.hint}"]


_LOGS: Final[list[Path]] = []


def keep(log: Path) -> None:
    """Append messages to this file too, with the time, from now on; a full disk is ignored."""
    _LOGS[:] = [log]


def say(text: str) -> None:
    """Escaped to printable ASCII: names on a stick may try to steer the terminal. Stdout stays free
    for results.
    """
    for line in text.split("\n"):
        shown = "".join(c if " " <= c <= "~" else ascii(c)[1:-1] for c in line)
        print(shown, file=sys.stderr, flush=True)
        for log in _LOGS:
            with contextlib.suppress(OSError), open(log, "a", opener=_private) as file:
                file.write(f"{time.strftime('%FT%TZ', time.gmtime())} {shown}\n")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
