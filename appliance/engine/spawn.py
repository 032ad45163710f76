"""The child process that becomes a worker, and the two sockets to it.

Rules: the child is executed, never forked from the server's memory; its environment is empty and it
works in the root directory. Its descriptors are the sealed model, a socket for messages, a second
one that brings the descriptors of adapters, and an error pipe: nothing else. When something goes
wrong, no child and no descriptor is left.
"""

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass


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


def spawn(model_fd: int) -> Child:
    """Start a worker.

    Args:
        model_fd: the sealed model, with an offset of its own; taken over.

    Raises:
        OSError: no process or descriptor is to be had.
    """
    with contextlib.ExitStack() as handed, contextlib.ExitStack() as kept:
        handed.callback(os.close, model_fd)
        pairs = []
        for _ in range(2):
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            kept.callback(ours.close)
            handed.callback(theirs.close)
            pairs.append((ours, theirs))
        (connection, talks), (descriptors, takes) = pairs
        descriptors.setblocking(False)
        fds = (model_fd, talks.fileno(), takes.fileno())
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
