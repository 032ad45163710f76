"""`tui`: the operator's screens."""

from pathlib import Path

import click

from appliance.cli.output import data_option


@click.command()
@data_option
def tui(data: Path) -> None:
    """Open the operator's screens."""
    from tui.app import run  # Textual is loaded for this command only

    run(data)
