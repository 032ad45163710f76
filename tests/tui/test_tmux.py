"""The program in a real terminal: tmux, the real admin app, a real socket."""

import os
import select
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI

from appliance.api.admin.private import serve_in_thread
from appliance.client import socket_path
from appliance.wire.admin import Status
from tests.api.admin.lab import make_lab
from tests.conftest import CHECKOUT, need_tool
from tests.tui.scripted import model, status
from tests.tui.test_app import serving

RENAME = "\x1b]2;owned\x07"
_PROGRAM = "from tui.program import main; main()"


@dataclass(frozen=True)
class Tmux:
    """One tmux server with one window of 80 columns and 24 lines."""

    tool: str
    socket: str

    def __call__(self, *arguments: str) -> str:
        """Run a tmux command and return what it prints."""
        command = [self.tool, "-S", self.socket, "-f", "/dev/null", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        return done.stdout

    def open(self, *command: str | Path) -> int:
        """Run a command in the window; returns its process id."""
        line = shlex.join([str(part) for part in command])
        self("new-session", "-d", "-x", "80", "-y", "24", "-c", str(CHECKOUT), f"exec {line}")
        return int(self("display-message", "-p", "#{pane_pid}"))

    def wait(self, words: str) -> str:
        """The screen as soon as it has these words; tmux offers nothing to wait for."""
        shown = ""
        for _ in range(600):
            shown = self("capture-pane", "-p")
            if words in shown:
                return shown
            time.sleep(0.05)
        pytest.fail(f"{words!r} never came:\n{shown}")

    @property
    def title(self) -> str:
        """What programs may rename by writing to the terminal."""
        return self("display-message", "-p", "#{pane_title}").strip()


@pytest.fixture
def tmux() -> Iterator[Tmux]:
    with tempfile.TemporaryDirectory() as place:  # short enough for a socket's name
        made = Tmux(need_tool("tmux"), f"{place}/s")
        yield made
        made("kill-server")


def ended(pid: int, seconds: float = 30) -> bool:
    """Whether a process is gone or goes in time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def program(data: Path, *options: str) -> tuple[str | Path, ...]:
    return (sys.executable, "-c", _PROGRAM, "--data", data, *options)


def telling(found: Status) -> FastAPI:
    """A server that says one status, whatever it holds."""
    app = FastAPI(openapi_url=None)

    @app.get("/admin/status")
    async def answer() -> Status:
        return found

    return app


def test_a_person_sees_the_server_go_and_come_back(
    tmux: Tmux, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lab = make_lab(tmp_path_factory.mktemp("tmux"))
    with ExitStack() as server:
        server.enter_context(serving(lab))
        pid = tmux.open(*program(lab.data))
        shown = tmux.wait("+ LIVE")
        assert "LAB" in shown and "1 entries" in shown and "Quit" in shown
        tmux("send-keys", "?")
        assert "Refresh" in tmux.wait("WHAT IT DOES")
        tmux("send-keys", "Escape")
        server.close()
        shown = tmux.wait("! DOWN  data")
        assert "1 entries" in shown and "Next: appliance serve" in shown
        server.enter_context(serving(lab))
        tmux.wait("+ LIVE")
        assert not ended(pid, 0)
        tmux("send-keys", "q")
        assert ended(pid)


@pytest.mark.parametrize("options", [(), ("--basic",)])
def test_text_of_a_model_does_not_reach_the_terminal(
    tmux: Tmux, tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = socket_path(tmp_path)
    path.parent.mkdir()
    found = status(models=[model(f"pump{RENAME}", "refused", code=RENAME, message=RENAME)])
    with serve_in_thread(telling(found), path):
        tmux.open(*program(tmp_path, *options))
        tmux.wait("why: \\x1b]2;owned")
        assert tmux.title != "owned"


def test_the_control_renames_the_terminal(tmux: Tmux) -> None:
    tmux.open("sh", "-c", f"printf '{RENAME}done'; exec cat")
    tmux.wait("done")
    assert tmux.title == "owned"


def test_a_terminal_that_disappears_leaves_no_process(tmux: Tmux, tmp_path: Path) -> None:
    pid = tmux.open(*program(tmp_path))
    tmux.wait("! DOWN")
    tmux("kill-server")
    assert ended(pid)
