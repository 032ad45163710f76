"""The frame around the screens: against the real admin app, and when things go wrong."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import open_services
from appliance.client import AdminClient, socket_path
from appliance.wire.admin.keys import KEYS
from appliance.wire.admin.models import MODEL_UNLOAD, STATUS
from tests.api.admin.lab import LabData, make_lab
from tests.tui.scripted import DATA, DOWN, NEVER, Script, Told, model, status, terminal
from tui.app import OperatorApp, Polled
from tui.desk import Desk
from tui.keys import PLACES

pytestmark = pytest.mark.long


@contextlib.contextmanager
def serving(lab: LabData) -> Iterator[None]:
    path = socket_path(lab.data)
    path.unlink(missing_ok=True)
    with open_services(lab.data) as services, serve_in_thread(create_admin_app(services), path):
        yield


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> LabData:
    return make_lab(tmp_path_factory.mktemp("tui"))


async def test_the_real_server_is_stopped_and_comes_back_on_every_screen(lab: LabData) -> None:
    now = 100.0
    with AdminClient(socket_path(lab.data)) as client, contextlib.ExitStack() as server:
        server.enter_context(serving(lab))
        async with terminal(client, clock=lambda: now, data=lab.data) as opened:
            assert "+ LIVE" in opened.text and "LAB" in opened.text
            for place in PLACES:
                await opened.press(place.key)
                server.close()
                now += 3
                shown = await opened.refresh()
                assert "! DOWN  data 3 s old" in shown and f"[{place.key} " in shown
                server.enter_context(serving(lab))
                assert "+ LIVE" in await opened.refresh()


async def test_a_status_that_comes_under_another_screen_is_kept() -> None:
    script = Script()
    async with terminal(script) as opened:
        await opened.press("question_mark")
        script.found = status(alarms=["The disk is full."])
        await opened.refresh()
        assert "The disk is full." in await opened.press("escape")


async def test_an_answer_to_an_earlier_question_is_not_shown() -> None:
    go_on, asked = threading.Event(), threading.Event()

    class Slow(Script):
        def answer(self, at, *given):  # type: ignore[no-untyped-def]
            if at == KEYS:
                asked.set()
                go_on.wait(30)
            return super().answer(at, *given)

    async with terminal(Slow()) as opened:
        await opened.press("5")
        await asyncio.to_thread(asked.wait, 30)
        await opened.press("4")
        go_on.set()
        await opened.polled()
        assert "[4 Audit]" in opened.text and "page 1" in await opened.refresh()


async def test_it_polls_without_being_asked() -> None:
    async with terminal(Script(), period=0.1) as opened:
        for _ in range(3):
            await asyncio.wait_for(opened.app.polled.get(), 30)


async def test_an_answer_that_comes_while_it_ends_is_let_go() -> None:
    async with terminal(Script()) as opened:
        app, link = opened.app, opened.desk.link
        await app.screen.remove_children()
        assert link.snapshot is not None and link.snapshot.topic == "overview"
        OperatorApp.on_polled(app, Polled(link))


async def test_q_quits_while_the_server_hangs() -> None:
    go_on, asked = threading.Event(), threading.Event()

    class Hanging(Script):
        def answer(self, at, *given):  # type: ignore[no-untyped-def]
            if at == STATUS:
                if asked.is_set():
                    go_on.wait(60)
                asked.set()
            return super().answer(at, *given)

    try:
        async with terminal(Hanging()) as opened:
            await opened.pilot.press("r", "q")
            assert not opened.app.is_running
    finally:
        go_on.set()


async def test_changes_are_dim_while_the_data_are_old_and_wait_for_each_other() -> None:
    go_on = threading.Event()

    class Slow(Script):
        def answer(self, at, *given):  # type: ignore[no-untyped-def]
            if at == MODEL_UNLOAD:
                go_on.wait(30)
            return super().answer(at, *given)

    script = Slow(status(models=[model("pump", "serving", loaded=True)]))
    async with terminal(script) as opened:
        await opened.press("2", "a", "u", "y")
        await opened.wait("~ Unload pump")
        await opened.press("a", "u")
        assert len(opened.app.screen_stack) == 1  # one change at a time
        go_on.set()
        await opened.wait("+ pump is approved")
        script.error = DOWN
        await opened.refresh()
        await opened.press("a", "u")
        assert "the data are old" in opened.text or "no server answers" in opened.text
    assert script.calls == [("unload", "pump")]


async def test_a_resize_storm_breaks_nothing() -> None:
    async with terminal(Script(status(models=[model("pump")]))) as opened:
        for digit in "1234590":
            await opened.press(digit)
            for size in ((20, 5), (1, 1), (300, 100), (80, 24)):
                await opened.pilot.resize_terminal(*size)
                await opened.pilot.pause()
            assert opened.app.is_running
            await opened.wait(f"[{digit} ")


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (200, 60)])
async def test_every_screen_has_its_keys_and_connection_at_every_size(
    size: tuple[int, int],
) -> None:
    async with terminal(Script(status(models=[model("pump")])), size=size) as opened:
        for digit in "1234590":
            shown = await opened.press(digit)
            rows = shown.split("\n")
            assert "+ LIVE" in rows[0] and f"[{digit} " in rows[1], shown
            assert ": Find" in rows[-1] and "? Help" in rows[-1], shown


async def test_a_window_without_focus_is_painted_too() -> None:
    class Unfocused(OperatorApp):
        def on_mount(self) -> None:
            self.app_focus = False  # before that of the program: no line of keys is made

    app = Unfocused(Desk(Script(), Told(), DATA), period=NEVER)
    async with app.run_test() as pilot:
        assert not app.query("FooterKey")
        async with asyncio.timeout(30):
            while app._batch_count:
                await pilot.pause(0.05)
