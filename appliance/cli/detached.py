"""Starting the server as a process of its own, which stays when the terminal goes.

Rules: it is told apart from this process by a session of its own, has no terminal, and what it
prints goes to a file; the command returns when the server answers, or says why it ended.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from appliance.cli.connect import server_answers
from appliance.errors import Refused, StateRefused

_SECONDS: Final = 60.0
_SHOWN: Final = 400


def output_file(data: Path) -> Path:
    """Path of the server's output before its log is open, and when it fails."""
    return data / "logs" / "serve.out"


def start(data: Path, options: list[str]) -> int:
    """Start the server; its process id.

    Raises:
        StateRefused: `data_locked` when one answers already.
        Refused: `server_not_started` with the last that it printed.
    """
    if server_answers(data):
        raise StateRefused("data_locked", f"A server answers for {data} already.")
    path = output_file(data)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "appliance", "serve", "--data", str(data), *options],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(path), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    end = time.monotonic() + _SECONDS
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if server_answers(data):
            return pid
        if time.monotonic() > end:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
            break
        time.sleep(0.05)
    said = path.read_text(encoding="utf-8", errors="replace").strip()[-_SHOWN:]
    raise Refused("server_not_started", f"The server ended ({path}): {said}")
