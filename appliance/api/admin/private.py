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

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.peer import PeerProtocol
from appliance.runtime import Services


@contextlib.contextmanager
def serve_privately(services: Services) -> Iterator[Path]:
    """Serve the admin app from a thread until the block ends.

    Yields:
        The path of the socket.
    """
    app = create_admin_app(services, served=False)
    config = uvicorn.Config(
        app, http=PeerProtocol, ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=5,
    )  # fmt: skip
    server = uvicorn.Server(config)
    with (
        tempfile.TemporaryDirectory(prefix="appliance-") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
    ):
        path = Path(directory) / "admin.sock"
        listener.bind(str(path))
        listener.listen()  # connections wait here until the thread takes them
        thread = threading.Thread(target=server.run, args=([listener],), name="admin-app")
        thread.start()
        try:
            yield path
        finally:
            server.should_exit = True
            thread.join()
