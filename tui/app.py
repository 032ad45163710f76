"""The operator's program: the frame around the screens.

Rules: it knows the server by the admin socket and by the commands that a person would type; it ends
when the person says so, not when the server does; a change is sent once, by a thread, after the
person said yes, and its outcome is always told.
"""

import threading
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import ContentSwitcher

from appliance.errors import ApplianceError
from appliance.wire.admin.usage import CurrentLoad
from tui import ring, theme
from tui.change import Answers, Change, Running
from tui.desk import Desk
from tui.driver import SparingDriver
from tui.keys import OF_SCREENS, PLACES, UNDO, VERBS, Level, Verb
from tui.link import Files, Link, LinkState, Poller, Question, Snapshot, look
from tui.screens.acting import Acting
from tui.screens.advice import AdvicePage
from tui.screens.audit import AuditPage
from tui.screens.collections import CollectionsPage
from tui.screens.datasets import DatasetsPage
from tui.screens.drift import DriftPage
from tui.screens.evaluations import EvaluationsPage
from tui.screens.first import FirstPage
from tui.screens.full_view import WholeScreen
from tui.screens.help import HelpScreen
from tui.screens.incidents import IncidentsPage
from tui.screens.jobs import JobsPage
from tui.screens.keys import KeysPage
from tui.screens.labels import LabelsPage
from tui.screens.listing import BROAD, ListPage
from tui.screens.logs import LogsPage
from tui.screens.media import MediaPage
from tui.screens.models import ModelsPage
from tui.screens.overview import ROOMY, TALL, OverviewPage
from tui.screens.page import Page
from tui.screens.palette import Palette
from tui.screens.people import PeoplePage
from tui.screens.requests import RequestsPage
from tui.screens.routes import RoutesPage
from tui.screens.site import SitePage
from tui.screens.tasks import TasksPage
from tui.screens.trust import TrustPage
from tui.screens.tuning import TuningPage
from tui.screens.upstreams import UpstreamsPage
from tui.screens.usage import UsagePage
from tui.text import lines
from tui.view import frame
from tui.view.flash import flash
from tui.view.palette import Choice
from tui.widgets.ask import Ask
from tui.widgets.entry import Typing
from tui.widgets.keys import KeyLine
from tui.widgets.menu import Menu, MenuLine
from tui.widgets.part import OLD, Part

PERIOD, BASIC_PERIOD = 1.0, 5.0
_LONGEST_UNPAINTED = 2.0
_WRITE_SECONDS = 30.0
_TRAIL = 30
"""Places that escape goes back through."""
_ROWS = 200
"""Rows of the list in front that the palette finds."""
PAGES: tuple[type[Page], ...] = (
    OverviewPage, ModelsPage, RequestsPage, AuditPage, KeysPage, JobsPage, TasksPage,
    EvaluationsPage, LogsPage, MediaPage, LabelsPage, CollectionsPage, AdvicePage, RoutesPage,
    TuningPage, UpstreamsPage, IncidentsPage, DatasetsPage, DriftPage, PeoplePage, TrustPage,
    UsagePage, SitePage, FirstPage,
)  # fmt: skip


class Polled(Message):
    """A poll ended; `link` is what is known now."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self.link = link


class OperatorApp(Typing):
    """The operator's screens; `period`: seconds between two polls, by default 1, with `basic` 5."""

    TITLE = "appliance"
    CSS_PATH = Path(__file__).with_name("operator.tcss")
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - declared so by Textual
        (0, "-narrow"), (70, "-wide"), (ROOMY, "-roomy"), (BROAD, "-broad"),
    ]  # fmt: skip
    VERTICAL_BREAKPOINTS = [(0, "-short"), (TALL, "-tall")]  # noqa: RUF012 - declared so by Textual
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(verb.keys, verb.action, verb.words, show=verb.shown, key_display=verb.display)
            for verb in VERBS
            if verb.action and not verb.page
        ),
        *(Binding(place.key, f"go('{place.name}')", place.title, show=False) for place in PLACES),
    ]

    def __init__(self, desk: Desk, *, period: float | None = None) -> None:
        driver = SparingDriver if desk.basic else None
        super().__init__(driver_class=driver, ansi_color=driver and True)
        self._desk = desk
        self._period = period or (BASIC_PERIOD if desk.basic else PERIOD)
        desk.link = replace(desk.link, period=self._period)
        self._pages = {page.TITLE.lower(): page(desk) for page in PAGES}
        self._question: Question | None = None
        self._poller = Poller(self._look, self._hear, period=self._period, clock=desk.clock)
        self._top, self._nav = Part("top"), Part("nav")
        self._trouble, self._flash = Part("trouble"), Part("flash")
        self._under_way: Running | None = None
        self._reading = False
        self._read_topic: str | None = None  # what was read of the files since the server went
        self._unpainted: ExitStack | None = ExitStack()
        self._awaited = {"keys", "poll"}
        self._shown_state: tuple[object, ...] = ()
        self._trail: list[str] = []
        self._written = desk.clock()
        for made in theme.PALETTES.values():
            self.register_theme(made)
        self.theme = theme.BASIC if desk.basic else theme.PALETTES[desk.palette].name
        self.animation_level = "none"
        self.set_class(desk.basic, "basic")

    def compose(self) -> ComposeResult:
        with Vertical(id="frame"):
            yield self._top
            yield self._nav
            yield self._trouble
            first = "overview" if self._desk.initialised else "start"
            with ContentSwitcher(initial=f"page-{first}", id="body"):
                yield self._pages[first]  # the others when a person comes to them
            yield self._flash
            yield KeyLine()

    def on_mount(self) -> None:
        """Nothing is painted before the keys have their place and the first poll ended: each would
        have the whole screen painted again.
        """
        if self._unpainted is not None:
            self._unpainted.enter_context(self.batch_update())
        self.set_timer(_LONGEST_UNPAINTED, self._paint)  # without focus there is no line of keys
        self._enter(self.page)
        self.set_interval(self._period, self.draw)
        self._poller.start()

    def on_key_line_made(self, _: KeyLine.Made) -> None:
        self._came("keys")

    def _came(self, part: str) -> None:
        self._awaited.discard(part)
        if not self._awaited:
            self._paint()

    def _paint(self) -> None:
        if self._unpainted is not None:
            self._unpainted.close()
            self._unpainted = None
            self.screen.refresh(layout=True)

    def on_unmount(self) -> None:
        self._poller.stop()
        self._desk.commands.close()
        ring.write(self._desk.ring, self._desk.ring_file)

    def on_resize(self) -> None:
        self.call_later(self.draw)

    @property
    def page(self) -> Page:
        current = self.query_one("#body", ContentSwitcher).current or "page-overview"
        return self._pages[current.removeprefix("page-")]

    # what the polls bring

    def _look(self) -> Snapshot:
        return look(self._desk.client, self._question)

    def _hear(self, link: Link) -> None:
        self.post_message(Polled(link))  # may be called from any thread

    def on_polled(self, message: Polled) -> None:
        if not self._top.is_attached:
            return  # the program ends
        link = message.link
        self._desk.link = link
        snapshot = link.snapshot
        if not link.failures:
            self._desk.files = self._read_topic = None
        if snapshot is not None and not link.failures:
            if snapshot.load is not None:
                self._keep(snapshot.load)
            if self._question is not None and snapshot.topic == self._question.topic:
                self.page.hear(snapshot.topic, snapshot.answer)
        self.draw()
        self._read_files()
        self._came("poll")

    def _keep(self, load: CurrentLoad) -> None:
        desk, before = self._desk, self._desk.history.newest
        desk.history.add(load)
        point = desk.history.newest
        if point is not None and point is not before:
            desk.ring.add(point, desk.wall())
            if desk.clock() - self._written >= _WRITE_SECONDS:
                self._written = desk.clock()
                ring.write(desk.ring, desk.ring_file)

    def _read_files(self) -> None:
        desk, question = self._desk, self._question
        topic = question.topic if question else ""
        gone = desk.link.error is not None and desk.link.error.code == "server_unreachable"
        if not gone or desk.state is not LinkState.DOWN or not desk.initialised:
            return
        if self._reading or topic == self._read_topic:
            return
        self._reading = True
        known = desk.files.snapshot if desk.files else None

        def read() -> None:
            snapshot: Snapshot | None
            try:
                snapshot = look(desk.offline, question, known.status if known else None)
            except Exception:  # what cannot be read stays unknown; the line of trouble says why
                snapshot = known
            self.call_later(self._read, snapshot, topic)

        threading.Thread(target=read, name="files", daemon=True).start()

    def _read(self, snapshot: Snapshot | None, topic: str) -> None:
        self._reading = False
        desk = self._desk
        if desk.state is LinkState.DOWN and self._top.is_attached:
            self._read_topic = topic
            desk.files = Files(snapshot, desk.clock())
            asked = self._question.topic if self._question is not None else None
            wanted = snapshot is not None and asked == topic == snapshot.topic
            if snapshot and wanted and not isinstance(snapshot.answer, ApplianceError):
                self.page.hear(snapshot.topic, snapshot.answer)  # errors are the server's to say
        self.draw()
        self._read_files()

    def draw(self) -> None:
        if not self._top.is_attached:
            return
        desk, now, width = self._desk, self._desk.clock(), self.size.width
        self._top.say(
            frame.top(
                desk.link, desk.history.newest, now, desk.wall(), width,
                readonly=desk.readonly, files=desk.files,
            )
        )  # fmt: skip
        self._nav.say(frame.navigation(self.page.TITLE, width))
        told = [] if self.page.TITLE == "Start" else frame.trouble(desk.link, now, str(desk.data))
        known = frame.worst(desk.status, width) if not told and self.page.ALARMED else Content("")
        self._trouble.say(lines(told) if told else known)
        self._flash.say(flash(self._under_way))
        if isinstance(self.screen, WholeScreen):
            self.screen.told.say(flash(self._under_way))
        self.query_one("#body").set_class(desk.stale and desk.status is not None, OLD)
        self.page.draw()
        seen = (desk.state, desk.status.role if desk.status else "")
        if seen != self._shown_state:
            self._shown_state = seen
            self.screen.refresh_bindings()

    # moving about

    async def action_go(self, name: str, words: str = "") -> None:
        if len(self.screen_stack) > 1:
            return
        before, page = self.page.TITLE.lower(), self._pages[name]
        if not page.is_attached:
            page.display = False
            await self.query_one("#body").mount(page)
        page.narrow(words)
        if before != name:
            self._trail = [*self._trail[-_TRAIL:], before]
            self._put(name)
        else:
            self.draw()

    def _put(self, name: str) -> None:
        self.query_one("#body", ContentSwitcher).current = f"page-{name}"
        self._enter(self._pages[name])

    async def on_page_go(self, message: Page.Go) -> None:
        await self.action_go(message.place.lower(), message.words)

    def action_map(self) -> None:
        options = [
            MenuLine(one.key, one.name, one.title, f"{level}: {one.finds}")
            for level in Level
            for one in PLACES
            if one.level is level
        ]
        # Before the next key, which may be there already.
        self.push_screen(Menu("GO TO", options, lambda name: self.call_next(self.action_go, name)))

    def _enter(self, page: Page) -> None:
        page.enter()
        self._ask(page.question())
        self.draw()

    def _ask(self, question: Question | None) -> None:
        self._question = question
        self._poller.poll_now()

    def on_page_asked(self, _: Page.Asked) -> None:
        self._ask(self.page.question())

    async def on_first_page_ready(self, _: FirstPage.Ready) -> None:
        await self.action_go("overview")

    def action_refresh(self) -> None:
        self._desk.files = self._read_topic = None
        self._ask(self.page.question())

    def action_escape(self) -> None:
        """One step back: a narrowing, the last message, then the place before."""
        if self.page.back():
            return
        if self._under_way is not None and self._under_way.done:
            self._under_way = None
            self.draw()
        elif self._trail:
            self._put(self._trail.pop())

    def action_leave(self) -> None:
        self.exit()

    def action_help(self) -> None:
        page = self.page
        acts = [act for act in page.ACTS if page.offers(act)]
        verbs = [
            verb for verb in VERBS if not verb.page or page.check_action(_named(verb.action), ())
        ]
        self.push_screen(HelpScreen(page.TITLE, acts, verbs))

    def action_palette(self) -> None:
        self.push_screen(Palette(list(self._choices())), self._chosen)

    def _choices(self) -> Iterable[Choice]:
        page = self.page
        for act in page.ACTS:
            yield Choice(act.words, f"a {act.key}", f"do {act.name}", "", page.why_not(act))
        if self._desk.undo is not None:
            title = self._desk.undo().title
            yield Choice(f"{UNDO.words}: {title}", f"a {UNDO.key}", f"do {UNDO.name}")
        for one in PLACES:
            yield Choice(one.title, one.key, f"go {one.name}", one.finds)
        for verb in VERBS:
            if verb.action and _named(verb.action) != "palette":
                has = not verb.page or page.check_action(_named(verb.action), ())
                why_not = "" if has else "not on this screen"
                yield Choice(verb.words, _display(verb), f"verb {verb.action}", verb.does, why_not)
        for name in theme.PALETTES:
            basic = "a basic terminal has its own" if self._desk.basic else ""
            yield Choice(f"Colours: {name}", "", f"colours {name}", "", basic)
        if isinstance(page, ListPage):
            for item in page.items()[:_ROWS]:
                key = page.rows.key_of(item)
                yield Choice(key, "", f"row {key}", page.TITLE)

    def _chosen(self, choice: Choice | None) -> None:
        if choice is None:
            return
        kind, _, name = choice.action.partition(" ")
        page = self.page
        match kind:
            case "do":
                self.call_later(page.do, name)
            case "go":
                self.call_later(self.action_go, name)
            case "verb":
                node = page if _named(name) in OF_SCREENS else self
                self.call_later(self.run_action, name, node)
            case "colours":
                self.theme = theme.PALETTES[name].name
            case _:
                self.call_later(page.narrow, name)
                self.call_later(self.draw)

    # changes

    def on_acting_begin(self, message: Acting.Begin) -> None:
        change = message.change
        if self._under_way is not None and not self._under_way.done:
            self._tell("Wait until the change under way has ended.", failed=True)
            return

        def answered(answers: dict[str, str] | None) -> None:
            if answers is not None:
                self._make(change, answers)

        self.push_screen(Ask(change), answered)

    def on_acting_said(self, message: Acting.Said) -> None:
        self._tell(message.words, failed=message.failed)

    def _tell(self, words: str, *, failed: bool = False) -> None:
        if self._under_way is None or self._under_way.done:
            error = RuntimeError(words) if failed else None
            said = Change(words, "", "", lambda _answers, _report: None)
            self._under_way = Running(said, result=words, error=error, done=True)
        self.draw()

    def _make(self, change: Change, answers: Answers) -> None:
        running = Running(change)
        self._under_way = running

        def report(phase: str, done: int, total: int) -> None:
            percent = 100 * done // total if total else None
            if (phase, percent) != (running.phase, running.percent):
                running.phase, running.percent = phase, percent
                self.call_later(self._moved, running)

        def work() -> None:
            try:
                running.result = change.work(answers, report)
            except Exception as error:  # a change without a reported end would be worse
                running.error = error
            running.done = True
            self.call_later(self._moved, running)

        threading.Thread(target=work, name="change", daemon=True).start()
        self.draw()

    def _moved(self, running: Running) -> None:
        if running.done and running.error is None and running.change.then is not None:
            running.change.then(running.result)
        if running.done:
            self._desk.undo = running.change.undo if running.error is None else None
            self._ask(self.page.question())
            self.screen.refresh_bindings()
        self.draw()


def _named(action: str) -> str:
    return action.partition("(")[0]


def _display(verb: Verb) -> str:
    return verb.display or verb.keys.partition(",")[0]
