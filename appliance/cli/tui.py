"""`tui`: the operator's screens."""

from pathlib import Path

import click

from appliance.cli.output import DIRECTORY, data_option
from tui.terminal import PALETTES


@click.command()
@data_option
@click.option("--readonly", is_flag=True, help="Offer nothing that changes anything.")
@click.option("--basic", is_flag=True, help="ASCII and few colours. For a slow or plain terminal.")
@click.option(
    "--media",
    metavar="DIR",
    multiple=True,
    type=DIRECTORY,
    help="Look for artifacts here, too; repeatable.",
)
@click.option("--palette", type=click.Choice(PALETTES), default="dark", help="The colours.")
def tui(data: Path, readonly: bool, basic: bool, media: tuple[Path, ...], palette: str) -> None:
    """Open the operator's screens."""
    from tui.program import run  # Textual is loaded for this command only

    run(data, readonly=readonly, basic=basic, media=media, palette=palette)
