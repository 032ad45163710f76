"""`request`: what is being answered now."""

from pathlib import Path

import click

from appliance.cli.connect import admin_client
from appliance.cli.output import Output, data_option, json_option, safe, state, table


@click.group()
def request() -> None:
    """Requests that are being answered now."""


@request.command("list")
@data_option
@json_option
@click.pass_obj
def list_(output: Output, data: Path) -> None:
    """List requests, oldest first.

    No prompts and no texts.
    """
    with admin_client(data, needs_server=True) as client:
        found = client.requests()
    rows = [
        (
            safe(r.request_id),
            state("queued" if r.queued else "running"),
            safe(r.app),
            safe(r.model),
            str(r.prompt_tokens),
            str(r.completion_tokens),
            r.started,
        )
        for r in found.requests
    ]
    head = ("ID", "STATE", "APP", "MODEL", "READ", "WRITTEN", "SINCE")
    output.data(
        found,
        table(head, rows)
        if rows
        else ["No requests. Apps send them with a key of `appliance key create NAME`."],
    )


@request.command()
@click.argument("request_id", metavar="ID")
@data_option
@json_option
@click.pass_obj
def cancel(output: Output, data: Path, request_id: str) -> None:
    """End a request.

    Its client gets an error, and the log names you.
    """
    with admin_client(data, needs_server=True) as client:
        done = client.cancel_request(request_id)
    output.data(done, [f"{safe(request_id)} {'ended' if done.cancelled else 'had ended already'}"])
