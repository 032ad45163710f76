"""`request`: what is being answered now."""

import click

from appliance.cli.connect import connected
from appliance.cli.output import Output, safe
from appliance.client import AdminClient
from appliance.wire.admin.models import REQUEST_CANCEL, REQUEST_TABLE, REQUESTS


@click.group()
def request() -> None:
    """Requests that are being answered now."""


@request.command("list")
@connected(needs_server=True)
def list_(output: Output, client: AdminClient) -> None:
    """List requests, oldest first.

    No prompts and no texts.
    """
    found = client.call(REQUESTS)
    output.listing(found, found.requests, REQUEST_TABLE)


@request.command()
@click.argument("request_id", metavar="ID")
@connected(needs_server=True)
def cancel(output: Output, client: AdminClient, request_id: str) -> None:
    """End a request.

    Its client gets an error, and the log names you.
    """
    done = client.call(REQUEST_CANCEL, request_id=request_id)
    output.data(done, [f"{safe(request_id)} {'ended' if done.cancelled else 'had ended already'}"])
