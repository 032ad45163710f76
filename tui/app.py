"""The overview: server, models, workers, log, alarms; refreshed every second.

Rules: a poll that fails changes the connection line only: what was last known stays, dimmed, with
its age; tables are redrawn only when their rows changed; nothing is ever asked of the server but
its status.
"""

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import DataTable, Footer, Static

from appliance.client import AdminClient, socket_path
from appliance.config import data_directory
from appliance.errors import ApplianceError
from appliance.wire.admin import Status
from appliance.wire.marks import mark
from tui.link import Link, LinkState
from tui.text import cell, lines, state
from tui.view import (
    MODEL_COLUMNS,
    WORKER_COLUMNS,
    audit_line,
    headline,
    model_row,
    worker_row,
)

_SECONDS_BETWEEN_POLLS = 1.0
_ANSWER_SECONDS = 5.0
_OLD = "old"
_COLUMNS = {"models": MODEL_COLUMNS, "workers": WORKER_COLUMNS}
Rows = Sequence[tuple[str, ...]]


class OverviewApp(App[None]):
    """The operator's first screen.

    Args:
        fetch: brings the status, from any thread; raises ApplianceError.
        seconds: time between two polls.
        clock: monotonic seconds.
    """

    TITLE = "appliance"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [("q", "quit", "Quit"), ("r", "refresh", "Refresh")]
    CSS = """
    Static { height: auto; }
    DataTable { height: 1fr; margin: 1 0 0 0; }
    .old #server, .old #audit, .old #alarms, .old DataTable { text-style: dim; }
    """

    def __init__(
        self,
        fetch: Callable[[], Status],
        *,
        seconds: float = _SECONDS_BETWEEN_POLLS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._seconds = seconds
        self._clock = clock
        self._link = Link()
        self._rows: dict[str, Rows] = {}
        self._polling = False
        # Held here, since a timer may fire while the screen is being taken down.
        self._connection, self._server, self._audit, self._alarms = (
            Static(id=name, markup=False) for name in ("connection", "server", "audit", "alarms")
        )
        self._tables: dict[str, DataTable[Content]] = {
            "models": DataTable(id="models", cursor_type="row"),
            "workers": DataTable(id="workers", cursor_type="none"),
        }

    def compose(self) -> ComposeResult:
        """Connection, headline, models, workers, log, alarms, keys."""
        yield self._connection
        yield self._server
        yield from self._tables.values()
        yield self._audit
        yield self._alarms
        yield Footer()

    def on_mount(self) -> None:
        """Start to poll."""
        for name in self._tables:
            self._fill(name, [])
        self._show_link()
        self.action_refresh()
        self.set_interval(self._seconds, self.action_refresh)

    def action_refresh(self) -> None:
        """Poll now, unless a poll is under way."""
        self._show_link()
        if not self._polling:
            self.run_worker(self.poll(), exit_on_error=False)

    async def poll(self) -> None:
        """Ask for the status and show what came of it."""
        self._polling = True
        try:
            status = await asyncio.to_thread(self._fetch)
        except ApplianceError as error:
            self._link = self._link.failed(error)
        else:
            self._link = self._link.succeeded(self._clock())
            self._show(status)
        finally:
            self._polling = False
            self._show_link()

    def _show_link(self) -> None:
        now = self._clock()
        found = self._link.state(now)
        words = f"{mark(found)} {self._link.words(now)}"
        self._connection.update(lines(words))
        self.set_class(found is not LinkState.LIVE, _OLD)

    def _show(self, status: Status) -> None:
        server = f"{mark(status.state)} {status.state} | {headline(status)}"
        self._server.update(lines(server))
        self._audit.update(lines(audit_line(status)))
        alarms = lines(*(f"! {alarm}" for alarm in status.alarms))
        self._alarms.update(alarms)
        self._fill("models", [model_row(model) for model in status.models])
        self._fill("workers", [worker_row(worker) for worker in status.workers])

    def _fill(self, name: str, rows: Rows) -> None:
        if self._rows.get(name) == rows:
            return
        self._rows[name] = rows
        self._draw(self._tables[name], _COLUMNS[name], rows)

    def _draw(self, table: DataTable[Content], head: tuple[str, ...], rows: Rows) -> None:
        shown = [[cell(first), state(word), *map(cell, rest)] for first, word, *rest in rows]
        table.clear(columns=True)
        for title, *column in zip(map(Content, head), *shown, strict=True):
            width = max(content.cell_length for content in (title, *column))
            table.add_column(title.plain, width=width)  # Textual does not measure Content
        table.add_rows(shown)


def run(data: Path) -> None:
    """Open the screens for a data directory."""
    with AdminClient(socket_path(data), answer_seconds=_ANSWER_SECONDS) as client:
        OverviewApp(client.status).run(mouse=False)


def main() -> None:
    """The command `appliance-tui`."""
    parser = argparse.ArgumentParser(description="The operator's screens.")
    parser.add_argument("--data", metavar="DIR", help="by default what APPLIANCE_DATA names")
    run(data_directory(parser.parse_args().data))
