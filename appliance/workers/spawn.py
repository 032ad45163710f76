"""The child process that becomes a worker, and the two sockets to it.

Rules: the child is executed, never forked from the server's memory; its environment is empty and it
works in the root directory. Its descriptors are a socket for messages, a second one that brings the
descriptors of the sealed model and of adapters, and an error pipe: nothing else. It is started
while its model is still being sealed, and imports its modules meanwhile. When something goes wrong,
no child and no descriptor is left.
"""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass

_STDERR_TAIL = 4096


@dataclass(frozen=True)
class Child:
    """A process that was just started, with the server's ends of the sockets."""

    process: subprocess.Popen[bytes]
    connection: socket.socket
    descriptors: socket.socket

    def end(self) -> None:
        """Kill it, wait for it and close what belongs to it."""
        self.connection.close()
        self.descriptors.close()
        with self.process:  # waits, and closes the error pipe
            self.process.kill()


def spawn() -> Child:
    """Start a worker, which imports its modules and waits for its model.

    Raises:
        OSError: the system has no process or descriptor left.
    """
    with contextlib.ExitStack() as handed, contextlib.ExitStack() as kept:
        pairs = []
        for _ in range(2):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            kept.callback(ours.close)
            handed.callback(theirs.close)
            pairs.append((ours, theirs))
        (connection, talks), (descriptors, takes) = pairs
        descriptors.setblocking(False)
        fds = (talks.fileno(), takes.fileno())
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "appliance.engine.worker", *map(str, fds)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
            pass_fds=fds,
        )
        kept.pop_all()
    return Child(process, connection, descriptors)


def watch(process: subprocess.Popen[bytes]) -> "asyncio.Future[tuple[int, bytes]]":
    """A future of the exit status and the end of the error output.

    A thread, since the event loop's own subprocesses hand descriptors to the child that the
    confinement would have to trust.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[int, bytes]] = loop.create_future()

    def wait() -> None:
        tail = b""
        if process.stderr is not None:
            with process.stderr as errors:
                while data := os.read(errors.fileno(), 4096):
                    tail = (tail + data)[-_STDERR_TAIL:]
        status = process.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits any more
            loop.call_soon_threadsafe(ended.set_result, (status, tail))

    threading.Thread(target=wait, name=f"worker-{process.pid}", daemon=True).start()
    return ended
