"""Connection of a command to the admin app.

Rules: a server that listens on `DATA/run/admin.sock` does the work; otherwise the command takes the
data directory's lock and serves itself the same app, so each command has one implementation and one
audit trail. A briefly held lock is waited for.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from appliance.cli.imports import importing
from appliance.cli.output import Output, data_option, json_option
from appliance.cli.unlocking import unlock
from appliance.client import ANSWER_SECONDS, AdminClient, probe, socket_path
from appliance.config import load_config
from appliance.errors import ServerUnreachable, StateRefused

if TYPE_CHECKING:
    from appliance.app import Services

PATIENCE_S: Final = 5.0
"""How long the lock of the data directory is waited for."""


def server_answers(data: Path) -> bool:
    """Raises ServerUnreachable (`server_unreachable`): this user may not use the socket, or it
    hangs.
    """
    path = socket_path(data)
    try:
        probe(path)
    except (PermissionError, TimeoutError) as error:
        raise ServerUnreachable("server_unreachable", f"{path}: {error}.") from error
    except OSError:
        return False
    return True


def _opened(stack: contextlib.ExitStack, data: Path) -> "Services | None":
    """None when a server that was starting answers now.

    Raises:
        StateRefused: `data_locked` when the lock is not given up in time.
    """
    from appliance.app import open_services

    unlock(data)
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return stack.enter_context(open_services(data))
        except StateRefused as error:
            if error.code != "data_locked" or time.monotonic() > end:
                raise
        time.sleep(0.05)
        if server_answers(data):
            return None


@contextlib.contextmanager
def admin_client(data: Path, *, needs_server: bool = False) -> Iterator[AdminClient]:
    """A client of the running server, or of the app in this process.

    Raises:
        ServerUnreachable: `server_required` when it takes a server and there is none.
        UsageError: `data_missing`, `config_invalid`.
        StateRefused: `data_locked` when another command or a starting server has the lock.
    """
    with contextlib.ExitStack() as stack:
        seconds: float | None = ANSWER_SECONDS
        if server_answers(data):
            path = socket_path(data)
        elif needs_server:
            load_config(data)  # a directory that was never initialised is the better reason
            raise ServerUnreachable("server_required", f"No server runs for {data}.")
        else:
            # Imported here, since a command that a server answers needs none of it.
            with importing():
                from appliance.api.admin.private import serve_privately

            services = _opened(stack, data)
            if services is None:
                path = socket_path(data)
            else:  # this process answers itself, however long that takes on a loaded host
                path, seconds = stack.enter_context(serve_privately(services)), None
        yield stack.enter_context(AdminClient(path, answer_seconds=seconds))


def connected(
    directory: Callable[[Callable[..., None]], Callable[..., None]] = data_option,
    *,
    needs_server: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`--data` and `--json`: the command gets an `Output` and a client.

    Args:
        directory: the option of the data directory.
        needs_server: as for `admin_client`.
    """

    def added(command: Callable[..., None]) -> Callable[..., None]:
        @directory
        @json_option
        @click.pass_obj
        @functools.wraps(command)
        def run(output: Output, /, data: Path, **given: Any) -> None:
            try:
                with admin_client(data, needs_server=needs_server) as client:
                    if client.private:
                        output.keep()  # this process has the lock of the data directory
                    command(output, client, **given)
            finally:
                output.release()

        return run

    return added
