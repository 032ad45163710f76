"""`serve`: run the server."""

from pathlib import Path

import click

from appliance.cli.imports import importing
from appliance.cli.output import FILE, Output, prints, safe
from appliance.cli.unlocking import unlock
from appliance.config import load_config


@click.command()
@click.option("--host", metavar="H", help="Address to listen on. Replaces server.host.")
@click.option(
    "--port", metavar="N", type=click.IntRange(0, 65_535), help="Port, in place of server.port."
)
@click.option("--save", is_flag=True, help="Keep --host and --port in appliance.toml.")
@click.option("--detach", is_flag=True, help="Start it in the background, and return.")
@click.option("--stop", is_flag=True, help="End the running server. For a service: systemctl.")
@click.option("--passphrase-file", type=FILE,
              help="Its first line opens protected keys. By default a prompt asks.")  # fmt: skip
@prints
def serve(
    output: Output,
    data: Path,
    host: str | None,
    port: int | None,
    save: bool,
    detach: bool,
    stop: bool,
    passphrase_file: Path | None,
) -> None:
    """Serve the approved models.

    SIGTERM or ctrl-c ends it, or --stop.
    """
    if stop:
        from appliance.cli import detached

        if detach or save or host is not None or port is not None:
            raise click.UsageError("--stop stands alone.")
        pid = detached.stop(data)
        output.data({"pid": pid}, [f"the server with process id {pid} has ended"])
        return
    if save and host is None and port is None:
        raise click.UsageError("--save keeps --host and --port: name one.")
    if detach:
        from appliance.cli import detached

        load_config(data)
        options = [] if host is None else ["--host", host]
        options += [] if port is None else ["--port", str(port)]
        options += ["--save"] if save else []
        options += ["--passphrase-file", str(passphrase_file.absolute())] if passphrase_file else []
        pid = detached.start(data, options)
        log = str(detached.output_file(data))
        lines = [f"the server runs with process id {pid}; it prints to {safe(log)}"]
        output.data({"pid": pid, "output": log}, lines)
        output.note("  appliance serve --stop")
        return
    if output.as_json:
        raise click.UsageError("--json belongs to --detach and --stop.")
    unlock(data, passphrase_file)
    with importing():
        from appliance.server import serve as server

    server.serve(data, host, port, save=save)
