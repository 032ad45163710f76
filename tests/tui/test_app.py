"""The operator's program: against the real admin app, and as a command."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import tui.app
from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.client import AdminClient, socket_path
from appliance.runtime import open_services
from appliance.wire.admin import Status
from tests.api.admin.lab import LabData, make_lab
from tests.tui.scripted import Script, status, terminal
from tui.app import main


@contextlib.contextmanager
def serving(lab: LabData) -> Iterator[None]:
    """The real admin app on the socket of a data directory."""
    path = socket_path(lab.data)
    path.unlink(missing_ok=True)
    with open_services(lab.data) as services, serve_in_thread(create_admin_app(services), path):
        yield


@pytest.fixture
def lab(tmp_path_factory: pytest.TempPathFactory) -> LabData:
    """A fresh lab with a short path, for the socket."""
    return make_lab(tmp_path_factory.mktemp("tui"))


async def test_the_real_server_is_stopped_and_comes_back(lab: LabData) -> None:
    now = 100.0
    with AdminClient(socket_path(lab.data)) as client, contextlib.ExitStack() as server:
        server.enter_context(serving(lab))
        async with terminal(client.status, clock=lambda: now, data=lab.data) as opened:
            shown = opened.text
            assert "+ LIVE" in shown and "LAB" in shown and "- idle" in shown
            assert "you: admin" in shown and "1 entries" in shown
            server.close()
            now += 3
            shown = await opened.refresh()
            assert "! DOWN  data 3 s old" in shown and "1 entries" in shown
            server.enter_context(serving(lab))
            assert "+ LIVE" in await opened.refresh()


async def test_a_status_that_comes_under_another_screen_is_kept() -> None:
    script = Script()
    async with terminal(script.fetch) as opened:
        await opened.press("question_mark")
        script.answer = status(alarms=["The disk is full."])
        opened.app.action_refresh()
        await opened.polled()
        assert "The disk is full." in await opened.press("escape")


async def test_it_polls_without_being_asked() -> None:
    async with terminal(Script().fetch, period=0.1) as opened:
        for _ in range(3):
            await asyncio.wait_for(opened.app.polled.get(), 30)


async def test_q_quits_while_the_server_hangs() -> None:
    script, go_on, asked = Script(), threading.Event(), threading.Event()

    def fetch() -> Status:
        if asked.is_set():
            go_on.wait(60)
        asked.set()
        return script.fetch()

    try:
        async with terminal(fetch) as opened:
            await opened.pilot.press("r", "q")
            assert not opened.app.is_running
    finally:
        go_on.set()


def test_the_command_hands_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Path, bool, bool]] = []
    monkeypatch.setattr(
        tui.app, "run", lambda data, *, readonly, basic: seen.append((data, readonly, basic))
    )
    for arguments in (["--data", "/d"], ["--readonly", "--basic"]):
        done = CliRunner().invoke(main, arguments, env={"APPLIANCE_DATA": "/e"})
        assert done.exit_code == 0, done.output
    assert seen == [(Path("/d"), False, False), (Path("/e"), True, True)]


def test_without_a_terminal_it_says_what_to_use() -> None:
    done = CliRunner().invoke(main, ["--data", "/d"])
    assert done.exit_code == 2
    assert "appliance status" in done.stderr
