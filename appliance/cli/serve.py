"""`serve`: run the server."""

from pathlib import Path

import click

from appliance import server
from appliance.cli.output import data_option


@click.command()
@click.option("--host", metavar="H", help="Address to listen on, in place of server.host.")
@click.option(
    "--port", metavar="N", type=click.IntRange(0, 65_535), help="Port, in place of server.port."
)
@data_option
def serve(data: Path, host: str | None, port: int | None) -> None:
    """Serve the approved models until SIGTERM or ctrl-c."""
    server.serve(data, host, port)
