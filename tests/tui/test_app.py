"""The overview under Pilot: against a script, and against the real admin app."""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.client import AdminClient, socket_path
from appliance.errors import ApplianceError, Refused, ServerUnreachable
from appliance.runtime import open_services
from appliance.wire.admin import Status
from tests.api.admin.lab import make_lab
from tests.cli.test_status import WORKER
from tests.test_client import STATUS
from tests.test_text import HOSTILE
from tui.app import OverviewApp

NEVER = 3_600.0
SIZES = [(60, 20), (80, 24), (120, 40)]
DOWN = ServerUnreachable("server_unreachable", "/d/run/admin.sock does not answer.")


def status(**changes: object) -> Status:
    return Status.model_validate({**STATUS, **changes})


def model(name: str, state: str = "approved", code: str | None = None) -> dict[str, object]:
    return {"id": name, "state": state, "digest": None, "code": code}


@dataclass
class Script:
    """A server that says what a test tells it to, and a clock."""

    answer: Status | ApplianceError = field(default_factory=status)
    now: float = 100.0
    asked: int = 0

    def fetch(self) -> Status:
        self.asked += 1
        if isinstance(self.answer, ApplianceError):
            raise self.answer
        return self.answer


@dataclass
class Screen:
    """The app as a person sees it."""

    app: OverviewApp
    pilot: Pilot[None]
    script: Script

    def text(self) -> str:
        """Every character on the screen. Textual has no public way to get at it."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text for strip in strips)

    async def poll(self, answer: Status | ApplianceError | None = None, later: float = 0) -> str:
        """Let one poll happen and return what is on the screen then."""
        self.script.answer = answer or self.script.answer
        self.script.now += later
        await self.app.poll()
        await self.pilot.pause()
        return self.text()


@asynccontextmanager
async def overview(
    script: Script, size: tuple[int, int] = (120, 40), fetch: Callable[[], Status] | None = None
) -> AsyncIterator[Screen]:
    app = OverviewApp(fetch or script.fetch, seconds=NEVER, clock=lambda: script.now)
    async with app.run_test(size=size) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause()
        yield Screen(app, pilot, script)


@pytest.mark.parametrize("size", SIZES)
async def test_the_essentials_are_on_every_screen(size: tuple[int, int]) -> None:
    models = [model("pump"), model("valve", "refused", "file_changed")]
    answer = status(models=models, workers=[WORKER.model_dump()], state="serving")
    async with overview(Script(answer), size) as screen:
        text = screen.text()
    assert "+ LIVE" in text
    assert "+ serving" in text and "LAB" in text
    assert "pump" in text and "+ approved" in text
    assert "valve" in text and "! refused" in text
    assert "+ ready" in text and "2/8" in text
    assert "audit + ok" in text


async def test_a_server_that_goes_away_leaves_the_last_data_with_their_age() -> None:
    async with overview(Script(status(models=[model("pump")]))) as screen:
        text = await screen.poll(DOWN, later=14)
        assert "! DOWN" in text and "data 14 s old" in text
        assert "/d/run/admin.sock" in text and "Start the server" in text
        assert "pump" in text
        assert screen.app.has_class("old")
        text = await screen.poll(DOWN, later=60)
        assert "data 74 s old" in text
        text = await screen.poll(status(models=[model("valve")]))
        assert "+ LIVE" in text and "valve" in text and "pump" not in text
        assert not screen.app.has_class("old")


async def test_a_server_that_was_never_there() -> None:
    async with overview(Script(DOWN)) as screen:
        assert "! DOWN" in screen.text() and "no data yet" in screen.text()
        assert screen.app.is_running


async def test_a_caller_without_a_role_is_told_so() -> None:
    async with overview(Script(Refused("forbidden", "uid 7 has no role."))) as screen:
        assert "! DENIED" in screen.text() and "uid 7 has no role." in screen.text()


async def test_an_error_that_nobody_expected_does_not_end_it() -> None:
    def broken() -> Status:
        raise ZeroDivisionError

    script = Script()
    app = OverviewApp(broken, seconds=NEVER, clock=lambda: script.now)
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.is_running
        assert "CONNECTING" in Screen(app, pilot, script).text()


async def test_alarms_are_shown_line_by_line() -> None:
    async with overview(Script(status(alarms=["The disk is full.", "Landlock is off."]))) as screen:
        lines = screen.text().splitlines()
    assert any(line.startswith("! The disk is full.") for line in lines)
    assert any(line.startswith("! Landlock is off.") for line in lines)


@pytest.mark.parametrize(
    "text", [*HOSTILE, "bad [/oops]", "[@click=app.quit]x[/]", "漢字", "🦙" * 50, "x" * 10_000]
)
async def test_hostile_text_is_shown_and_steers_nothing(text: str) -> None:
    worker = {**WORKER.model_dump(), "model": text, "state": text}
    answer = status(
        version=text, profile=text, role=text, alarms=[text], workers=[worker],
        models=[model(text, text, text)], audit={"entries": 1, "root": text, "latched": text},
    )  # fmt: skip
    async with overview(Script(answer)) as screen:
        shown = screen.text()
        assert screen.app.is_running
        assert "+ LIVE" in shown
        error = ServerUnreachable("server_unreachable", text)
        shown += await screen.poll(error)
    assert all(line.isprintable() for line in shown.split("\n"))


async def test_equal_rows_are_not_drawn_again() -> None:
    async with overview(Script(status(models=[model("pump")]))) as screen:
        table = screen.app.query_one("#models", DataTable)
        before = list(table.rows)
        await screen.poll(status(models=[model("pump")]))
        assert list(table.rows) == before
        await screen.poll(status(models=[model("valve")]))
        assert list(table.rows) != before  # the control


async def test_it_asks_again_by_itself() -> None:
    script = Script()
    app = OverviewApp(script.fetch, seconds=0.01)
    async with app.run_test() as pilot:
        while script.asked < 5:
            await pilot.pause()
    assert script.asked >= 5


async def test_r_asks_now_and_q_quits() -> None:
    async with overview(Script()) as screen:
        before = screen.script.asked
        await screen.pilot.press("r")
        await screen.app.workers.wait_for_complete()
        assert screen.script.asked == before + 1
        await screen.pilot.press("q")
        assert not screen.app.is_running


async def test_against_the_real_admin_app(tmp_path_factory: pytest.TempPathFactory) -> None:
    lab = make_lab(tmp_path_factory.mktemp("tui"))
    path = socket_path(lab.data)
    script = Script()
    with AdminClient(path) as client, ExitStack() as server:
        services = server.enter_context(open_services(lab.data))
        server.enter_context(serve_in_thread(create_admin_app(services), path))
        async with overview(script, fetch=client.status) as screen:
            text = screen.text()
            assert "+ LIVE" in text and "- idle" in text and "LAB" in text
            assert "1 entries" in text
            server.close()
            text = await screen.poll(later=3)
            assert "! DOWN" in text and "data 3 s old" in text and "1 entries" in text
            path.unlink()
            services = server.enter_context(open_services(lab.data))
            server.enter_context(serve_in_thread(create_admin_app(services), path))
            assert "+ LIVE" in await screen.poll()
