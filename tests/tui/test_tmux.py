"""The program in a real terminal: what must not reach it, its costs, and what it leaves."""

import os
import pty
import re
import select
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fcntl import ioctl
from itertools import pairwise
from pathlib import Path
from termios import TIOCSWINSZ
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from appliance.api.admin.private import serve_in_thread
from appliance.client import socket_path
from appliance.wire.admin.jobs import JobList
from appliance.wire.admin.keys import KeyList
from appliance.wire.admin.labels import LabelQueueList
from appliance.wire.admin.logs import LogPage
from appliance.wire.admin.models import EntryList, RequestList
from tests.conftest import CHECKOUT, need_tool
from tests.tui.drivers import PROGRAM, TmuxDriver, expect
from tests.tui.scripted import Script, model, status
from tests.tui.test_hostile import hostile

pytestmark = pytest.mark.long

RENAME = "\x1b]2;owned\x07"


@dataclass
class Telling:
    script: Script
    refusing: bool = False
    polls: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def app(self) -> FastAPI:
        app = FastAPI(openapi_url=None)
        made = self.script

        @app.api_route("/{path:path}")
        async def answer(request: Request) -> Response:
            path = request.url.path.removeprefix("/admin/")
            found: Any = {
                "status": made.found, "load": made.load_found, "logs": None,
                "keys": KeyList(keys=made.keys_found),
                "requests": RequestList(requests=made.running),
                "labels": LabelQueueList(queues=made.queues),
                "jobs": JobList(jobs=made.jobs_found),
                "audit/entries": EntryList(entries=made.entries),
            }.get(path)  # fmt: skip
            if path == "logs":
                found = LogPage(lines=made.log, file="f")
            if path.startswith("models/"):
                found = next(iter(made.details.values()), None)
            if path.startswith("jobs/"):
                found = made.jobs_found[0]
            if path == "load":
                self.polls.release()
            if found is None or self.refusing:
                return Response('{"error":{"message":"no","code":"not_found"}}', 404)
            return Response(found.model_dump_json(), media_type="application/json")

        return app


@contextmanager
def telling(script: Script) -> Iterator[tuple[Path, Telling]]:
    with tempfile.TemporaryDirectory() as place:
        data = Path(place)
        (data / "appliance.toml").touch()
        path = socket_path(data)
        path.parent.mkdir()
        made = Telling(script)
        with serve_in_thread(made.app(), path):
            yield data, made


@pytest.fixture
def tmux() -> Iterator[TmuxDriver]:
    with tempfile.TemporaryDirectory() as place:  # short enough for a socket's name
        made = TmuxDriver(need_tool("tmux"), f"{place}/s")
        yield made
        made.tmux("kill-server")


def ended(pid: int, seconds: float = 30) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def program(data: Path, *options: str) -> tuple[str | Path, ...]:
    return (sys.executable, "-c", PROGRAM, "--data", data, *options)


@pytest.mark.parametrize("options", [(), ("--basic",)])
async def test_no_text_of_a_server_reaches_the_terminal(
    tmux: TmuxDriver, options: tuple[str, ...]
) -> None:
    with telling(hostile(RENAME)) as (data, _):
        tmux.open(80, 24, *program(data, *options))
        await expect(tmux, "+ LIVE", "\\x1b]2;owned")
        for digit in "2345789":
            await tmux.press(digit)
            await expect(tmux, f"[{digit} ", "owned")
            assert tmux.title != "owned"


async def test_the_control_renames_the_terminal(tmux: TmuxDriver) -> None:
    tmux.open(80, 24, "sh", "-c", f"printf '{RENAME}done'; exec cat")
    await expect(tmux, "done")
    assert tmux.title == "owned"


async def test_an_exported_size_is_not_believed_and_a_resize_is_followed(tmux: TmuxDriver) -> None:
    with telling(Script()) as (data, _):
        tmux.open(60, 20, "env", "COLUMNS=132", "LINES=43", *program(data))
        shown = await expect(tmux, "+ LIVE", "? Help", ": Find")
        assert "[1 Overview] 2" in shown  # the short names of a narrow terminal
        await tmux.resize(130, 30)
        await expect(tmux, "[1 Overview]  2 Models", "you: admin", "+ LIVE")


async def test_a_terminal_that_disappears_leaves_no_process(tmux: TmuxDriver) -> None:
    with telling(Script()) as (data, _):
        tmux.open(80, 24, *program(data))
        await expect(tmux, "+ LIVE")
        pid = tmux.pid
        await tmux.press("4", "a", "v")  # with a request under way
        tmux.tmux("kill-server")
        assert ended(pid)


async def test_a_terminal_that_disappears_ends_the_command_under_way(tmux: TmuxDriver) -> None:
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        (data / "logs").mkdir(parents=True)
        (data / "appliance.toml").touch()
        os.mkfifo(data / "logs" / "server.jsonl")  # reading it waits for ever
        tmux.open(80, 24, *program(data))
        await expect(tmux, "! DOWN")
        await tmux.press("9")
        child = 0
        end = time.monotonic() + 60
        while not child and time.monotonic() < end:
            children = Path(f"/proc/{tmux.pid}/task/{tmux.pid}/children").read_text().split()
            threads = Path(f"/proc/{tmux.pid}/task").iterdir()
            for thread in threads:
                with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                    children += (thread / "children").read_text().split()
            child = int(children[0]) if children else 0
            time.sleep(0.05)
        assert child
        pid = tmux.pid
        tmux.tmux("kill-server")
        assert ended(pid) and ended(child)


@contextmanager
def on_a_line(data: Path, environment: dict[str, str], *options: str) -> Iterator[int]:
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(CHECKOUT)
        plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLORTERM")}
        command = [str(part) for part in program(data, *options)]
        os.execvpe(command[0], command, {**plain, "TERM": "xterm-256color", **environment})
    ioctl(fd, TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    try:
        yield fd
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(fd)


def read(fd: int, until: bytes = b"", seconds: float = 60) -> bytes:
    sent, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([fd], [], [], 0.05 if until and until not in sent else 0)[0]:
            if not until or until in sent:
                return sent
            continue
        sent += os.read(fd, 65_536)
    pytest.fail(f"{until!r} never came: {sent!r}")


def polled(made: Telling, times: int) -> None:
    for _ in range(times):
        assert made.polls.acquire(timeout=60)


def still(sent: bytes) -> bool:
    """True of nothing, and of the first line when the clock's minute changes."""
    return set(re.findall(rb"\x1b\[(\d+);\d+H", sent)) <= {b"1"} and len(sent) < 400


@pytest.mark.parametrize("options", [(), pytest.param(("--basic",), marks=pytest.mark.slow)])
def test_an_idle_appliance_sends_nothing(options: tuple[str, ...]) -> None:
    busy = model("pump", "serving", loaded=True)
    with (
        telling(Script(status(models=[busy]))) as (data, made),
        on_a_line(data, {}, *options) as fd,
    ):
        read(fd, b"LIVE")
        quiet, sent = 0, b""
        for _ in range(20):  # each part is drawn when its own answer is there
            polled(made, 3)
            quiet = quiet + 1 if still(sent := read(fd)) else 0
            if quiet == 3:
                break
        assert quiet == 3, sent
        made.script.found = status(models=[model("motor")])  # the control
        polled(made, 2)
        assert b"motor" in read(fd, b"motor")


def sent_sparingly(sent: bytes) -> bool:
    """True if each paint of a whole screen is small and shows something else than the last one.

    A slow host has more of them: its server takes long to answer, and the screens say so.
    """
    parts = re.split(rb"\x1b\[(\d+);\d+H", sent)[1:]
    rows = [(int(row), text) for row, text in zip(parts[::2], parts[1::2], strict=True)]
    twelfth = [text for row, text in rows if row == 12]
    below = sum(len(text) for row, text in rows if row > 1)  # the first line tells the time
    differ = all(text != after for text, after in pairwise(twelfth))
    return differ and 0 < below <= 6_000 * len(twelfth)


@pytest.mark.parametrize(
    ("environment", "options"),
    [({}, ("--basic",)), ({"TERM": "linux"}, ()), ({"TERM": "vt220"}, ()), ({"NO_COLOR": "1"}, ())],
)
def test_the_first_paint_of_a_basic_terminal_is_small(
    environment: dict[str, str], options: tuple[str, ...]
) -> None:
    busy = [model(f"pump-{n}", "serving", loaded=True) for n in range(12)]
    with (
        telling(Script(status(models=busy))) as (data, made),
        on_a_line(data, environment, *options) as fd,
    ):
        sent = read(fd, b"pump-3")
        polled(made, 4)  # the last comes in its time: what the start had to paint is painted
        sent += read(fd)
    assert sent_sparingly(sent), sent
    assert sent.isascii()


def test_a_basic_terminal_is_sent_no_row_twice_in_a_row() -> None:
    busy = [model(f"pump-{n}", "serving", loaded=True) for n in range(12)]
    with telling(Script(status(models=busy))) as (data, made), on_a_line(data, {}, "--basic") as fd:
        sent = read(fd, b"pump-3")
        for state in (b"DOWN", b"LIVE"):
            made.refusing = not made.refusing
            sent += read(fd, state)  # seconds later: what was to be painted is painted
    assert sent.count(b"\x1b[12;1H") > 1
    assert sent_sparingly(sent), sent


def test_no_colour_means_none() -> None:
    with telling(Script()) as (data, made):
        with on_a_line(data, {"NO_COLOR": "1"}) as fd:
            sent = read(fd, b"LIVE")
            polled(made, 1)
            sent += read(fd)
        with on_a_line(data, {}) as fd:  # the control
            coloured = read(fd, b"LIVE")
    assert b"38;" not in sent and b"48;" not in sent
    assert not any(f"\x1b[{n}m".encode() in sent for n in (*range(30, 38), *range(90, 98)))
    assert b"38;2;" in coloured or b"38;5;" in coloured
