"""Starting the server as a process of its own, which outlives the terminal; and ending it.

Rules: it has its own session and no terminal, and its output goes to a file; the command returns
when the server answers, or says why it ended. `stop` ends the process that listens on the admin
socket, as the kernel tells it.
"""

import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Final

from appliance.cli.connect import server_answers
from appliance.client import socket_path
from appliance.errors import Refused, ServerUnreachable, StateRefused, Unavailable

_SECONDS: Final = 60.0
_SHOWN: Final = 400
_PEER: Final = struct.Struct("3i")
"""Process, user and group of the other end of a Unix socket."""


def output_file(data: Path) -> Path:
    """The server's output before its log is open, and when it fails."""
    return data / "logs" / "serve.out"


def start(data: Path, options: list[str]) -> int:
    """Start the server; its process id.

    Raises:
        StateRefused: `data_locked` when one answers already.
        Refused: `server_not_started` with the last lines of its output.
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


def stop(data: Path) -> int:
    """Wait for its last answers; returns its process id.

    Raises:
        ServerUnreachable: `server_required` when none answers; `server_unreachable` when it is
            another user's.
        Unavailable: `shutting_down` when its last answers take longer.
    """
    if not server_answers(data):
        raise ServerUnreachable("server_required", f"No server runs for {data}.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(socket_path(data)))
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    pid = int(_PEER.unpack(told)[0])
    try:
        process = os.pidfd_open(pid)
    except OSError as error:  # of another host's or container's processes, or ended just now
        raise ServerUnreachable("server_unreachable", f"Process {pid}: {error}.") from error
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        ended = select.poll()
        ended.register(process, select.POLLIN)
        if not ended.poll(_SECONDS * 1_000):
            raise Unavailable("shutting_down", f"Process {pid} still ends its last answers.")
    except PermissionError as error:
        raise ServerUnreachable("server_unreachable", f"Process {pid}: {error}.") from error
    finally:
        os.close(process)
    return pid
