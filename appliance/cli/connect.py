"""How a command reaches the admin app.

Rules: when a server listens on `DATA/run/admin.sock`, it does the work; otherwise the command
takes the lock of the data directory and serves itself the same app, so there is one
implementation and one audit trail of each command. What needs running engines needs a server.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from appliance.client import AdminClient, probe, socket_path
from appliance.config import load_config
from appliance.errors import ServerUnreachable


def server_answers(data: Path) -> bool:
    """Whether a server listens for this data directory.

    Raises:
        ServerUnreachable: `server_unreachable` when this user may not use its socket, or it hangs.
    """
    path = socket_path(data)
    try:
        probe(path)
    except (PermissionError, TimeoutError) as error:
        raise ServerUnreachable("server_unreachable", f"{path}: {error}.") from error
    except OSError:
        return False
    return True


@contextlib.contextmanager
def admin_client(data: Path, *, needs_server: bool = False) -> Iterator[AdminClient]:
    """A client of the running server, or of the app in this process.

    Raises:
        ServerUnreachable: `server_required` when it takes a server and there is none.
        UsageError: `data_missing`, `config_invalid`.
        StateRefused: `data_locked` when another command or a starting server has the lock.
    """
    with contextlib.ExitStack() as stack:
        if server_answers(data):
            path = socket_path(data)
        elif needs_server:
            load_config(data)  # a directory that was never initialised is the better reason
            raise ServerUnreachable("server_required", f"No server runs for {data}.")
        else:
            # Imported here, since a command that a server answers needs none of it.
            from appliance.api.admin.private import serve_privately
            from appliance.app import open_services

            services = stack.enter_context(open_services(data))
            path = stack.enter_context(serve_privately(services))
        yield stack.enter_context(AdminClient(path))
