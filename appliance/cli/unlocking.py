"""Unlocking a data directory whose key files are under a passphrase.

Rules: a service's credential comes first, then a file that was named, then a person at a terminal;
each is tried once.
"""

from pathlib import Path

import click

from appliance.cli.output import asks
from appliance.config import credentials
from appliance.errors import StateRefused
from appliance.host import host_key


def unlock(data: Path, file: Path | None = None) -> None:
    """Unlock it for this process, where it is locked.

    Raises:
        Refused: `passphrase_refused`.
        StateRefused: `host_key_locked` where nobody can be asked; `host_key_damaged`.
    """

    def ask() -> str:
        if file is not None:
            return (file.read_text(encoding="utf-8").splitlines() or [""])[0]
        if not asks():
            raise StateRefused("host_key_locked", f"The key files of {data} are locked.")
        text: str = click.prompt(f"Passphrase of {data}", hide_input=True, err=True)
        return text

    host_key.secret(data, credentials(), ask)
