"""`serve`: run the server."""

from pathlib import Path

import click

from appliance.cli.imports import importing
from appliance.cli.output import Output, prints, safe
from appliance.config import load_config


@click.command()
@click.option("--host", metavar="H", help="Address to listen on. Replaces server.host.")
@click.option(
    "--port", metavar="N", type=click.IntRange(0, 65_535), help="Port, in place of server.port."
)
@click.option("--save", is_flag=True, help="Keep --host and --port in appliance.toml.")
@click.option("--detach", is_flag=True, help="Start it beside this terminal, and return.")
@prints
def serve(
    output: Output, data: Path, host: str | None, port: int | None, save: bool, detach: bool
) -> None:
    """Serve the approved models.

    SIGTERM or ctrl-c ends it.
    """
    if save and host is None and port is None:
        raise click.UsageError("--save keeps --host and --port: name one.")
    if detach:
        from appliance.cli import detached

        load_config(data)
        options = [] if host is None else ["--host", host]
        options += [] if port is None else ["--port", str(port)]
        options += ["--save"] if save else []
        pid = detached.start(data, options)
        log = str(detached.output_file(data))
        lines = [f"the server runs with process id {pid}; it prints to {safe(log)}"]
        output.data({"pid": pid, "output": log}, lines)
        return
    if output.as_json:
        raise click.UsageError("--json belongs to --detach.")
    with importing():
        from appliance.server import serve as server

    server.serve(data, host, port, save=save)
