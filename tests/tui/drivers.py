"""Two ways to sit at the program: Pilot in this process, and a real terminal under tmux.

Rules: a scenario is written once, for a `Driver`; it presses keys and waits for words, and never
for a time.
"""

import asyncio
import shlex
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from textual.pilot import Pilot

from appliance.client import AdminClient, socket_path
from tests.conftest import CHECKOUT, need_tool
from tests.tui.scripted import text_of
from tui.app import OperatorApp
from tui.command import Commands
from tui.desk import Desk

PROGRAM = "from tui.program import main; main()"
_TMUX = {
    "escape": "Escape", "enter": "Enter", "down": "Down", "up": "Up", "backspace": "BSpace",
    "slash": "/", "question_mark": "?", "colon": ":", "right_square_bracket": "]",
    "ctrl+u": "C-u", "ctrl+p": "C-p", "end": "End", "home": "Home", "pagedown": "PageDown",
}  # fmt: skip
_PILOT = {
    "/": "slash", " ": "space", ".": "full_stop", "-": "minus", "=": "equals_sign",
    "_": "underscore", ",": "comma", ":": "colon",
}  # fmt: skip
_SECONDS = 240.0  # a busy host; whoever waits goes on as soon as the words are there


class Driver(Protocol):
    """A person at a terminal."""

    async def press(self, *keys: str) -> None:
        pass

    async def type(self, text: str) -> None:
        pass

    async def shown(self) -> str:
        pass

    async def resize(self, width: int, height: int) -> None:
        pass


async def expect(driver: Driver, *words: str, without: str = "\0") -> str:
    """The screen as soon as it has all these words, and lacks another."""
    shown = ""
    try:
        async with asyncio.timeout(_SECONDS):
            while True:
                shown = await driver.shown()
                if all(word in shown for word in words) and without not in shown:
                    return shown
                await asyncio.sleep(0.05)
    except TimeoutError:
        message = f"{words} never came together, without {without!r}:\n{shown}"
        raise AssertionError(message) from None


@dataclass
class PilotDriver:
    app: OperatorApp
    pilot: "Pilot[None]"

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)

    async def type(self, text: str) -> None:
        await self.press(*(_PILOT.get(character, character) for character in text))

    async def shown(self) -> str:
        return text_of(self.app)

    async def resize(self, width: int, height: int) -> None:
        await self.pilot.resize_terminal(width, height)


@dataclass
class TmuxDriver:
    tool: str
    socket: str
    pid: int = 0

    def tmux(self, *arguments: str) -> str:
        command = [self.tool, "-S", self.socket, "-f", "/dev/null", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        return done.stdout

    def open(self, width: int, height: int, *command: str | Path) -> None:
        line = shlex.join([str(part) for part in command])
        size = ("-x", str(width), "-y", str(height))
        self.tmux("new-session", "-d", *size, "-c", str(CHECKOUT), f"exec {line}")
        self.tmux("set-option", "-g", "window-size", "manual")
        self.pid = int(self.tmux("display-message", "-p", "#{pane_pid}"))

    @property
    def title(self) -> str:
        """Programs may rename it by writing to the terminal."""
        return self.tmux("display-message", "-p", "#{pane_title}").strip()

    async def press(self, *keys: str) -> None:
        for key in keys:
            await asyncio.to_thread(self.tmux, "send-keys", _TMUX.get(key, key))

    async def type(self, text: str) -> None:
        await asyncio.to_thread(self.tmux, "send-keys", "-l", text)

    async def shown(self) -> str:
        return await asyncio.to_thread(self.tmux, "capture-pane", "-p")

    async def resize(self, width: int, height: int) -> None:
        size = ("-x", str(width), "-y", str(height))
        await asyncio.to_thread(self.tmux, "resize-window", *size)


@asynccontextmanager
async def at_pilot(
    data: Path, size: tuple[int, int], media: tuple[Path, ...], *, readonly: bool = False
) -> AsyncIterator[Driver]:
    with AdminClient(socket_path(data), answer_seconds=10) as client:
        desk = Desk(client, Commands(data), data, media=media, readonly=readonly)
        app = OperatorApp(desk, period=0.3)
        async with app.run_test(size=size) as pilot:
            yield PilotDriver(app, pilot)


@asynccontextmanager
async def at_tmux(
    data: Path, size: tuple[int, int], media: tuple[Path, ...], *, readonly: bool = False
) -> AsyncIterator[Driver]:
    with tempfile.TemporaryDirectory() as place:  # short enough for a socket's name
        driver = TmuxDriver(need_tool("tmux"), f"{place}/s")
        options: list[str | Path] = ["--readonly"] if readonly else []
        for directory in media:
            options += ["--media", directory]
        driver.open(*size, sys.executable, "-c", PROGRAM, "--data", data, *options)
        try:
            yield driver
        finally:
            driver.tmux("kill-server")


DRIVERS = {"pilot": at_pilot, "tmux": at_tmux}
