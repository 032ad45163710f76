"""The operator's program under Pilot: what it is told, what it shows."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from textual.app import App
from textual.pilot import Pilot

from appliance.errors import ApplianceError, ServerUnreachable
from appliance.wire.admin import Status
from tests.test_client import STATUS
from tests.test_text import HOSTILE
from tui.app import OperatorApp, Polled
from tui.link import Link

NEVER = 3_600.0
DATA = Path("/d")
DOWN = ServerUnreachable("server_unreachable", "/d/run/admin.sock does not answer.")
NASTY = [
    *HOSTILE,
    "bad [/oops]",
    "[@click=app.quit]x[/]",
    "[bold red]x",
    "$text-error",
    "\x1b[31m",
    "a\tb\nc",
    "漢字" * 60,
    "🦙" * 50,
    "x" * 10_000,
]
WORKER = {
    "model": "pump", "digest": "ab" * 32, "pid": 4711, "state": "ready", "n_ctx": 4096, "slots": 8,
    "running": 2, "queued": 3, "kv_used": 1024, "restarts": 1, "confinement": {},
    "variant": "haswell", "memory_mib": 250,
}  # fmt: skip


def status(**changes: object) -> Status:
    """A small appliance."""
    return Status.model_validate({**STATUS, **changes})


def model(name: str, state: str = "approved", **more: object) -> dict[str, object]:
    """A model of the store."""
    return {"id": name, "state": state, "digest": None, **more}


def text_of(app: App[None]) -> str:
    """Every character on the screen. Textual has no public way to get at it."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips)


@dataclass
class Script:
    """A server that says what a test tells it to, and a clock."""

    answer: Status | ApplianceError = field(default_factory=status)
    now: float = 100.0

    def fetch(self) -> Status:
        """What `AdminClient.status` would do."""
        if isinstance(self.answer, ApplianceError):
            raise self.answer
        return self.answer


class _Watched(OperatorApp):
    """Tells the test about each poll."""

    polled: asyncio.Queue[Link]

    def on_polled(self, message: Polled) -> None:
        """Textual calls the base class's handler too."""
        self.polled.put_nowait(message.link)


@dataclass
class Terminal:
    """The program as a person sees it."""

    app: _Watched
    pilot: Pilot[None]

    @property
    def text(self) -> str:
        """What is on the screen."""
        return text_of(self.app)

    async def polled(self) -> str:
        """Wait for a poll; what is on the screen then."""
        await asyncio.wait_for(self.app.polled.get(), 30)
        await self.pilot.pause()
        return self.text

    async def refresh(self) -> str:
        """Press `r`; what is on the screen when the poll has ended."""
        await self.pilot.press("r")
        return await self.polled()

    async def press(self, *keys: str) -> str:
        """Press keys; what is on the screen then."""
        await self.pilot.press(*keys)
        await self.pilot.pause()
        return self.text


@asynccontextmanager
async def terminal(
    fetch: Callable[[], Status],
    *,
    size: tuple[int, int] = (80, 24),
    clock: Callable[[], float] = lambda: 100.0,
    data: Path = DATA,
    readonly: bool = False,
    basic: bool = False,
    period: float = NEVER,
) -> AsyncIterator[Terminal]:
    """The program after its first poll; further ones only by `r`, unless a period is given."""
    app = _Watched(fetch, data, readonly=readonly, basic=basic, period=period, clock=clock)
    app.polled = asyncio.Queue()
    async with app.run_test(size=size) as pilot:
        opened = Terminal(app, pilot)
        await opened.polled()
        yield opened
