"""`site`: the other appliances, each a witness of the logs of the others."""

import json

import click

from appliance.cli.connect import connected
from appliance.cli.output import Output
from appliance.client import AdminClient
from appliance.wire.admin.site import PEER_TABLE, SITE, SITE_KEYS


@click.group()
def site() -> None:
    """The other appliances of a site."""


@site.command()
@connected(needs_server=True)
def status(output: Output, client: AdminClient) -> None:
    """List peers, and what each saw of the logs.

    Those of `[peers]` in appliance.toml. COSIGNED entries of our log are known there, SEEN ones of
    its log here.
    """
    found = client.call(SITE)
    output.listing(found, found.peers, PEER_TABLE)


@site.command()
@connected()
def key(output: Output, client: AdminClient) -> None:
    """Print the keys that a peer needs.

    The lines go below `[peers."NAME"]` in its appliance.toml.
    """
    found = client.call(SITE_KEYS)
    output.data(found, [f"{name} = {json.dumps(line)}" for name, line in vars(found).items()])
