"""Waiting for the end of a child process without the event loop's own subprocesses."""

import asyncio
import contextlib
import os
import subprocess
import threading

_STDERR_TAIL = 4096


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
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(ended.set_result, (status, tail))

    threading.Thread(target=wait, name=f"worker-{process.pid}", daemon=True).start()
    return ended
