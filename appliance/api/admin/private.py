"""The server's admin app for one command while no server runs.

Rule: its socket is in a directory that only this user can enter.
"""

import asyncio
import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.peer import PeerProtocol
from appliance.app import Services

_LAST_ANSWERS_S: Final = 5.0
_LOOK_S: Final = 0.002


@contextlib.contextmanager
def serve_privately(services: Services) -> Iterator[Path]:
    """Serve the admin app until the block ends; yields its socket's path."""
    with tempfile.TemporaryDirectory(prefix="appliance-") as directory:
        path = Path(directory) / "admin.sock"
        with serve_in_thread(create_admin_app(services, served=False), path):
            yield path


@contextlib.contextmanager
def serve_in_thread(app: FastAPI, path: Path) -> Iterator[None]:
    """Serve an app on a new Unix socket until the block ends."""
    config = uvicorn.Config(
        app,
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    server = _Server(config)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()  # connections wait here until the thread takes them
        thread = threading.Thread(target=server.run, args=([listener],), name="admin-app")
        thread.start()
        try:
            yield
        finally:
            server.end()
            thread.join()


class _Server(uvicorn.Server):
    """Ends at once: uvicorn polls every tenth of a second, and then waits for as long again."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()

    def end(self) -> None:
        """End after the requests under way."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._ended.set)

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._loop = asyncio.get_running_loop()  # and then the question, in this order
        if not self.should_exit:
            await self._ended.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close idle connections; wait some seconds at most for the rest."""
        for listening in self.servers:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_ANSWERS_S):
                while self.server_state.connections or self.server_state.tasks:
                    await asyncio.sleep(_LOOK_S)
