"""Start of the screens: by `appliance tui`, or alone by `appliance-tui`.

Rules: it needs nothing but a terminal, whose abilities are found out before anything is drawn.
"""

import ctypes
import hashlib
import os
import resource
import sys
from pathlib import Path

import click

from appliance.client import AdminClient, socket_path
from tui.app import OperatorApp
from tui.command import Commands
from tui.desk import Desk
from tui.link import attempt, look
from tui.terminal import PALETTES, believe_terminal, is_basic

_ANSWER_SECONDS = 5.0


def run(
    data: Path,
    *,
    readonly: bool = False,
    basic: bool = False,
    media: tuple[Path, ...] = (),
    palette: str = "dark",
) -> None:
    """Open the screens for a data directory.

    Args:
        palette: a name of `theme.PALETTES`.
        media: directories with artifacts, besides sticks.

    Raises:
        click.UsageError: there is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("The screens need a terminal; `appliance status` does not.")
    believe_terminal(os.environ, sys.stdout.fileno())
    basic = basic or is_basic(os.environ, sys.stdout.encoding)
    with AdminClient(socket_path(data), answer_seconds=_ANSWER_SECONDS) as client:
        desk = Desk(
            client, Commands(data), data, readonly=readonly, basic=basic, media=media,
            palette=palette, ring_file=_ring_file(data),
        )  # fmt: skip
        if basic:  # one paint with everything is half of what two cost
            desk.link = attempt(desk.link, lambda: look(client, None), desk.clock)
        OperatorApp(desk).run(mouse=not basic)


def _ring_file(data: Path) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    name = hashlib.sha256(str(data).encode()).hexdigest()[:16]
    return Path(state) / "appliance" / f"{name}.ring"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--data",
    metavar="DIR",
    envvar="APPLIANCE_DATA",
    required=True,
    type=click.Path(path_type=Path),
    help="The data directory; by default the one that APPLIANCE_DATA names.",
)
@click.option("--readonly", is_flag=True, help="Offer nothing that changes the appliance.")
@click.option("--basic", is_flag=True, help="ASCII, the terminal's own colours, slow refresh.")
@click.option(
    "--media",
    metavar="DIR",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Look for artifacts here as well as on sticks; may be repeated.",
)
@click.option("--palette", type=click.Choice(PALETTES), default="dark", help="The colours.")
def screens(data: Path, readonly: bool, basic: bool, media: tuple[Path, ...], palette: str) -> None:
    """Open the operator's screens."""
    run(data.absolute(), readonly=readonly, basic=basic, media=media, palette=palette)


def main() -> None:
    """Run the screens and end the process, without a core dump: they show new keys."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(4, *(ctypes.c_ulong(0) for _ in range(4)))  # PR_SET_DUMPABLE
    screens()
