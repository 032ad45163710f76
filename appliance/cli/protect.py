"""`appliance protect`: the appliance's own keys under a passphrase, token or TPM; backups.

Rules: no server may run while keys change; passphrase and PIN are typed, a line of a file, or the
service's credential. A backup passes from standard input to standard output only.
"""

import contextlib
import fcntl
import os
import re
import stat
import sys
from pathlib import Path
from typing import IO, Any, Final

import click

from appliance.cli.imports import importing
from appliance.cli.output import FILE, Output, data_option, prints, safe, state
from appliance.cli.signing import KeyPlace, KeyRing, PlaceOfKey, key_option, passphrase_option
from appliance.cli.unlocking import (
    HostKeyPlace,
    TokenWrapping,
    TpmWrapping,
    new_lock,
    place_of,
    present_lock,
    unlock,
)
from appliance.config import load_config
from appliance.host import host_key
from appliance.host.tpm import LAST_PCR, Pcrs
from appliance.trust.bytes import ecdsa, sealed_stream

_TPM: Final = "tpm:"


class _PlaceOfHostKey(click.ParamType[HostKeyPlace]):
    """A token's key, or `tpm:` and the PCRs that bind it."""

    name = "key"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> HostKeyPlace:
        if not isinstance(value, str) or not value.startswith(_TPM):
            return PlaceOfKey().convert(value, param, ctx)
        named = value.removeprefix(_TPM)
        if not re.fullmatch(r"(\d{1,2}(,\d{1,2})*)?", named, re.ASCII):
            self.fail("write tpm:0,7, or tpm: for no PCRs", param, ctx)
        numbers = sorted({int(number) for number in filter(None, named.split(","))})
        if numbers and numbers[-1] > LAST_PCR:
            self.fail(f"the last PCR is {LAST_PCR}", param, ctx)
        return Pcrs(tuple(numbers))


_place = click.option(
    "--key", "place", type=_PlaceOfHostKey(), metavar="KEY",
    help="Of a token, or tpm:PCRS, such as tpm:0,7.",
)  # fmt: skip


@click.group()
def protect() -> None:
    """The appliance's own keys under a passphrase.

    Those that encrypt texts, sign the log and the evidence, and speak TLS.
    """


@protect.command()
@_place
@passphrase_option
@prints
def on(
    output: Output, data: Path, place: HostKeyPlace | None, passphrase_file: Path | None
) -> None:
    """Encrypt the key files.

    Starts then take the passphrase, PIN or TPM. Repeat it after a crash or for a new secret.
    """
    with importing():
        from appliance.wiring import protection

    config = load_config(data)
    unlock(data, passphrase_file)
    there = host_key.protected(data)
    if there and place not in (None, place_of(data)):
        raise click.UsageError(
            "The keys are encrypted: `appliance protect change` takes another --key."
        )
    lock = "" if there else new_lock(data, place, KeyRing(passphrase_file))
    files = protection.protect(data, lock)
    for path in protection.left_in_plain(data, config):
        output.note(f"[!] {safe(str(path))} stays in plain: it is no key file of the directory.")
    _tell(output, data, files)


@protect.command()
@_place
@click.option("--officer", type=PlaceOfKey(), metavar="KEY",
              help="An officer's, where that fails.")  # fmt: skip
@passphrase_option
@prints
def change(
    output: Output,
    data: Path,
    place: HostKeyPlace | None,
    officer: KeyPlace | None,
    passphrase_file: Path | None,
) -> None:
    """Change the passphrase, token or TPM.

    A passphrase file has the present one, then the new one.
    """
    with importing():
        from appliance.wiring import protection

    load_config(data)
    ring = KeyRing(passphrase_file)
    if officer is not None and place_of(data) is None:
        raise click.UsageError("Officers open what a token or TPM has; neither has these keys.")
    opener = ""
    if host_key.locked(data):
        with present_lock(data, ring, officer=officer) as lock:
            host_key.unlock(data, lock)
            if officer is not None and isinstance(lock, TokenWrapping | TpmWrapping):
                opener = lock.hint
    protection.change(data, new_lock(data, place, ring), opener)
    _tell(output, data, [])


@protect.command()
@click.argument("key", type=click.Choice(["host", "kek", "evidence"]))
@passphrase_option
@prints
def renew(output: Output, data: Path, key: str, passphrase_file: Path | None) -> None:
    """Replace a key with a new one.

    kek encrypts all texts again; repeat it after a crash. The next evidence key waits until the
    trust policy lists it as evaluator.
    """
    with importing():
        from appliance.wiring import protection

    load_config(data)
    if key == "host":
        with present_lock(data, KeyRing(passphrase_file)) as lock:
            if host_key.locked(data):
                host_key.unlock(data, lock)
            files = protection.renew_host(data, lock)
        _tell(output, data, files)
        return
    unlock(data, passphrase_file)
    if key == "kek":
        _tell(output, data, protection.renew_kek(data))
        return
    public = protection.renew_evidence(data)
    pem = ecdsa.public_pem(public).decode()
    told = [f"Next: list {ecdsa.hint(public)} as evaluator, beside the present one", pem.strip()]
    output.data({"hint": ecdsa.hint(public), "pem": pem}, told)


@protect.command()
@passphrase_option
@prints
def off(output: Output, data: Path, passphrase_file: Path | None) -> None:
    """Write the key files in plain again."""
    with importing():
        from appliance.wiring import protection

    load_config(data)
    unlock(data, passphrase_file)
    _tell(output, data, protection.unprotect(data))


@protect.command()
@click.option("--to", "people", multiple=True, metavar="FILE",
              type=FILE,
              help="A public key that opens it. By default the officers' keys.")  # fmt: skip
@data_option
def encrypt(data: Path, people: tuple[Path, ...]) -> None:
    """Encrypt a backup to the officers.

    From standard input to standard output.
    """
    with importing():
        from appliance.trust.policy import officers

    if people:
        keys = [ecdsa.load_public(path.read_bytes()) for path in people]
    else:
        keys = [*officers.keys(data / "trust")]
    target = _standard_output()
    sealed_stream.seal(sys.stdin.buffer, target, keys)
    with contextlib.suppress(OSError):  # a pipe
        os.fsync(target.fileno())


@protect.command()
@key_option("The private key of an officer.")
def decrypt(key: ecdsa.SigningKey) -> None:
    """Decrypt a backup with an officer's key.

    From standard input to standard output. Nothing of it counts if this fails.
    """
    sealed_stream.unseal(sys.stdin.buffer, sys.stdout.buffer, key)


def _standard_output() -> IO[bytes]:
    """Open for reading, too, where it is a file that was opened so."""
    output = sys.stdout.buffer
    try:
        flags = fcntl.fcntl(output.fileno(), fcntl.F_GETFL)
        plain = stat.S_ISREG(os.fstat(output.fileno()).st_mode)
    except OSError:
        return output
    if not plain or flags & os.O_ACCMODE != os.O_RDWR:
        return output
    return open(output.fileno(), "rb+", closefd=False)


def _tell(output: Output, data: Path, files: list[Path]) -> None:
    on = host_key.protected(data)
    names = [str(path.relative_to(data)) for path in files]
    lines = [f"{state('encrypted' if on else 'plain')}: {', '.join(map(safe, names)) or 'done'}"]
    output.data({"protected": on, "files": names}, lines)
