"""`init`: make a data directory."""

from pathlib import Path

import click

from appliance.cli.output import Output, data_option, json_option
from appliance.runtime import initialise


@click.command()
@click.option(
    "--profile",
    type=click.Choice(["lab", "site"]),
    default="lab",
    show_default=True,
    help="lab: try everything on one machine, with keys made here. site: not there yet.",
)
@data_option
@json_option
@click.pass_obj
def init(output: Output, data: Path, profile: str) -> None:
    """Make a data directory: configuration, trust policy, audit log."""
    initialise(data, profile)
    genesis = data / "audit" / "genesis.pub"
    keys = data / "keys" / "lab"
    output.data(
        {"data": str(data), "profile": profile, "genesis_key": str(genesis), "keys": str(keys)},
        [
            f"{profile.upper()} data directory {data}",
            f"  keys to sign and approve with: {keys}",
            f"  key that proofs are checked with: {genesis} (keep a copy elsewhere)",
            "Not for production: publisher and approvers are keys on this machine.",
            f"Next: appliance model sign DIR --key {keys / 'publisher.pem'}",
        ],
    )
