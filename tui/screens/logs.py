"""Logs: what the server says of itself, also when it does not run.

Rules: a running server is asked; without one the command reads the file, and says how else to find
the lines when it cannot.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from pydantic import ValidationError
from textual.app import ComposeResult
from textual.containers import VerticalScroll

from appliance.client import AdminClient
from appliance.errors import ApplianceError
from appliance.wire.admin.logs import LOGS, LogLine, LogPage, LogQuery
from tui.background import background
from tui.desk import Desk
from tui.link import LinkState, Question
from tui.screens.listing import ListPage
from tui.text import alarm, lines
from tui.view import logs as view
from tui.widgets.part import Part
from tui.widgets.rows import Rows

_LEVELS = ("debug", "info", "warning", "error")
_MOST = 500
_HOW = "With systemd: journalctl -u appliance. In a terminal: appliance logs"


class LogsPage(ListPage[LogLine]):
    """The server's log lines."""

    TITLE: ClassVar[str] = "Logs"

    def __init__(self, desk: Desk) -> None:
        empty = "No lines. The server writes them while it runs."
        super().__init__(desk, Rows("lines", view.COLUMNS, lambda one: one.id, view.row, empty))
        self._source, self._detail = Part("log-source"), Part("log-line", "LINE")
        self._level = "info"
        self._follows = True
        self._found = LogPage(lines=[], file="")
        self._live = False
        self._reading = False
        self._shown_error: ApplianceError | None = None

    def compose_above(self) -> ComposeResult:
        yield self._source

    def compose_below(self) -> ComposeResult:
        with VerticalScroll(classes="detail", can_focus=False):
            yield self._detail

    def question(self) -> Question | None:
        level, words = self._level, self.filter.value.strip()
        return Question(f"logs {level} {words}", partial(_read, level=level, words=words))

    def take(self, topic: str, answer: Any) -> None:
        self._live = True
        self._keep(answer)

    def _keep(self, answer: Any) -> None:
        self._shown_error = answer if isinstance(answer, ApplianceError) else None
        if isinstance(answer, LogPage) and (self._follows or not self._found.lines):
            self._found = answer

    def items(self) -> list[LogLine]:
        return self._found.lines

    def words(self, item: LogLine) -> str:
        return f"{item.message} {item.logger} {' '.join(item.fields.values())}"

    def draw(self) -> None:
        if self.desk.state is LinkState.DOWN:
            self._read_file()
        super().draw()
        if self._follows and not self.filter.has_focus:
            self.rows.action_edge(1)
        if self._shown_error is not None:
            error = self._shown_error
            self._source.say(lines([alarm(f"{error.code}: {error.message}"), _HOW]))
        else:
            words = self.filter.value.strip()
            self._source.say(
                view.source(
                    self._found.file, self._level, words, following=self._follows, live=self._live
                )
            )
        current = self.rows.current
        self._detail.say(lines(view.detail(current, self.beside)) if current else lines([]))

    def _read_file(self) -> None:
        """In a thread, one at a time; a person at a file does not wait for each poll."""
        if self._reading or not self.desk.initialised:
            return
        self._reading, self._live = True, False
        level, words, commands = self._level, self.filter.value.strip(), self.desk.commands

        def work() -> LogPage:
            query = _query(level, words)
            more = ("--grep", query.text) if query.text else ()
            document = commands.run("logs", "-n", str(query.limit), "--level", level, *more)
            try:
                return LogPage.model_validate(document)
            except ValidationError:
                return LogPage(lines=[], file="")

        background(work, partial(self.call_later, self._came))

    def _came(self, found: object) -> None:
        """The file does not grow without a server, so once is enough."""
        self._keep(found)
        self.draw()

    def enter(self) -> None:
        self._reading = False
        super().enter()

    def on_input_changed(self, message: Any) -> None:
        message.stop()
        self._reading = False
        self._follows = True
        self.post_message(self.Asked())
        self.draw()

    def moved(self) -> None:
        """Following ends where a person begins to read."""

    def action_follow(self) -> None:
        self._follows = not self._follows
        self.draw()

    def action_span(self, step: int) -> None:
        at = max(0, min(len(_LEVELS) - 1, _LEVELS.index(self._level) - step))
        if _LEVELS[at] == self._level:
            return
        self._level = _LEVELS[at]
        self._reading = False
        self._found = LogPage(lines=[], file=self._found.file)
        self.post_message(self.Asked())
        self.draw()

    def copies(self) -> Sequence[tuple[str, str]]:
        one = self.rows.current
        if one is None:
            return ()
        return [("line", f"{one.time} {one.level} {one.message}"), *sorted(one.fields.items())]


def _query(level: str, words: str) -> LogQuery:
    return LogQuery.of(level=level, text=words[:200] or None, limit=_MOST)


def _read(client: AdminClient, level: str, words: str) -> LogPage:
    return client.call(LOGS, _query(level, words))
