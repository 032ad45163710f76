"""The admin app for one command while no server runs.

Rules: it is the very app that a server has, on a socket in a directory that only this user can
enter, so that a command behaves the same either way: roles, errors, progress, audit.
"""

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.peer import PeerProtocol
from appliance.app import Services


@contextlib.contextmanager
def serve_privately(services: Services) -> Iterator[Path]:
    """Serve the admin app from a thread until the block ends.

    Yields:
        The path of its socket.
    """
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
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()  # connections wait here until the thread takes them
        thread = threading.Thread(target=server.run, args=([listener],), name="admin-app")
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()
