"""`tls`: certificates of the LAN listener."""

from pathlib import Path

import click

from appliance.auth import certificates
from appliance.cli.output import Output, data_option, json_option, safe
from appliance.clock import SystemClock
from appliance.config import load_config


@click.group()
def tls() -> None:
    """TLS of the LAN listener."""


@tls.command()
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@data_option
@json_option
@click.pass_obj
def issue(output: Output, data: Path, names: tuple[str, ...]) -> None:
    """Make a local CA and a certificate for these DNS names and addresses.

    The CA is limited to them, and its key is gone when the command ends. Give ca.pem to the
    clients; a running server takes the new certificate on SIGHUP.
    """
    load_config(data)
    certificates.issue(data / "tls", names, SystemClock())
    ca = data / "tls" / "ca.pem"
    output.data(
        {"ca": str(ca), "names": list(names), "days": certificates.DAYS},
        [
            f"{ca} is for the clients; it is limited to {', '.join(map(safe, names))}",
            f"valid for {certificates.DAYS} days",
            "Next: enabled = true under [tls] in appliance.toml",
        ],
    )
