"""The operator's program: `appliance tui`, or `appliance-tui` alone.

Rules: it knows the server by the admin socket only, and runs where nothing but a terminal is; it
ends when the person says so, not when the server does.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import click
from textual.app import App
from textual.binding import BindingType
from textual.message import Message

from appliance.client import AdminClient, socket_path
from appliance.wire.admin import Status
from tui import theme
from tui.link import Link, Poller
from tui.screens.help import HelpScreen, live_keys
from tui.screens.overview import OverviewScreen
from tui.terminal import is_basic

_PERIOD, _BASIC_PERIOD = 1.0, 5.0
_ANSWER_SECONDS = 5.0


class Polled(Message):
    """A poll ended; `link` is what is known now."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self.link = link


class OperatorApp(App[None]):
    """The operator's screens.

    Args:
        fetch: brings the status, from any thread.
        data: the data directory.
        readonly: keys that change something are not offered.
        basic: ASCII, the terminal's own colours, a slow refresh.
        period: seconds between two polls; by default 1, with `basic` 5.
        clock: monotonic seconds.
    """

    TITLE = "appliance"
    CSS_PATH = Path(__file__).with_name("operator.tcss")
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "Quit"),
        ("r", "refresh", "Refresh"),
        ("question_mark", "help", "Help"),
    ]

    def __init__(
        self,
        fetch: Callable[[], Status],
        data: Path,
        *,
        readonly: bool = False,
        basic: bool = False,
        period: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(ansi_color=True if basic else None)
        self._period = period or (_BASIC_PERIOD if basic else _PERIOD)
        self._poller = Poller(
            fetch, lambda link: self._hear(link), period=self._period, clock=clock
        )
        self._overview = OverviewScreen(data, readonly=readonly, clock=clock)
        self.register_theme(theme.full())
        self.theme = theme.BASIC if basic else theme.full().name
        self.animation_level = "none"
        self.set_class(basic, "basic")

    def on_mount(self) -> None:
        """Open the first screen and begin to poll."""
        self.push_screen(self._overview)
        self.set_interval(self._period, self._overview.draw)
        self._poller.start()

    def on_unmount(self) -> None:
        """Let go of the server."""
        self._poller.stop()

    def on_polled(self, message: Polled) -> None:
        """Show what came, also below another screen."""
        self._overview.show(message.link)

    def action_refresh(self) -> None:
        """Poll now."""
        self._poller.poll_now()

    def action_help(self) -> None:
        """Show the keys of this screen."""
        self.push_screen(HelpScreen(live_keys(self.screen)))

    def _hear(self, link: Link) -> None:
        self.post_message(Polled(link))  # may be called from any thread


def run(data: Path, *, readonly: bool = False, basic: bool = False) -> None:
    """Open the screens for a data directory.

    Raises:
        click.UsageError: there is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("The screens need a terminal; `appliance status` does not.")
    basic = basic or is_basic(os.environ, sys.stdout.encoding)
    with AdminClient(socket_path(data), answer_seconds=_ANSWER_SECONDS) as client:
        OperatorApp(client.status, data, readonly=readonly, basic=basic).run(mouse=not basic)


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
def main(data: Path, readonly: bool, basic: bool) -> None:
    """Open the operator's screens."""
    run(data.absolute(), readonly=readonly, basic=basic)
