"""`appliance protect`: the appliance's own key files under a passphrase.

Rules: no server may run; the passphrase is typed, a line of a file, or the service's credential.
"""

from pathlib import Path

import click

from appliance.cli.imports import importing
from appliance.cli.output import Output, prints, safe, state
from appliance.cli.signing import KeyRing, passphrase_option
from appliance.cli.unlocking import unlock
from appliance.config import load_config
from appliance.host import host_key


@click.group()
def protect() -> None:
    """The appliance's own keys under a passphrase.

    Those that encrypt texts, sign the log and the evidence, and speak TLS.
    """


@protect.command()
@passphrase_option
@prints
def on(output: Output, data: Path, passphrase_file: Path | None) -> None:
    """Encrypt the key files.

    A start of the server takes the passphrase from then on. After a crash, the same again.
    """
    with importing():
        from appliance.wiring import protection

    load_config(data)
    unlock(data, passphrase_file)
    ring, there = KeyRing(passphrase_file), host_key.protected(data)
    files = protection.protect(data, "" if there else ring.secret("New passphrase", new=True))
    _tell(output, data, files)


@protect.command()
@passphrase_option
@prints
def change(output: Output, data: Path, passphrase_file: Path | None) -> None:
    """Change the passphrase.

    Of a passphrase file, the first line is the present one, the second the new one.
    """
    with importing():
        from appliance.wiring import protection

    load_config(data)
    ring = KeyRing(passphrase_file)
    if host_key.locked(data):
        host_key.unlock(data, ring.secret("Present passphrase"))
    protection.change(data, ring.secret("New passphrase", new=True))
    _tell(output, data, [])


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


def _tell(output: Output, data: Path, files: list[Path]) -> None:
    on = host_key.protected(data)
    names = [str(path.relative_to(data)) for path in files]
    lines = [f"{state('encrypted' if on else 'plain')}: {', '.join(map(safe, names)) or 'done'}"]
    output.data({"protected": on, "files": names}, lines)
