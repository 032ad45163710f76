"""`appliance serve`: the LAN listener and the admin socket in one event loop.

Rules: the admin socket is made with mode 0660 in a directory of mode 0750, never wider for an
instant; a non-loopback address is refused (TLS comes with the site profile); on SIGTERM or SIGINT
new work is refused, running answers may end, then workers and log are closed in that order.
"""

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn
import uvloop

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.peer import PeerProtocol
from appliance.api.app import create_lan_app
from appliance.api.observe import keep_writing_counts, write_counts
from appliance.audit.log import Draft
from appliance.errors import Unavailable, UsageError
from appliance.inference import append
from appliance.runtime import Services, open_services

SOCKET = Path("run") / "admin.sock"
_UNIX_PATH_LIMIT = 107
_log = logging.getLogger("appliance")


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to `serve`, since two of them share the loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


def serve(data: Path, host: str | None = None, port: int | None = None) -> None:
    """Run until a signal.

    Raises:
        UsageError: `bind_refused` for an address that is not loopback.
        StateRefused: `data_locked`.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    with open_services(data) as services:
        address = host or services.config.server.host
        if not _is_loopback(address):
            raise UsageError("bind_refused", f"{address} is not a loopback address.")
        number = services.config.server.port if port is None else port
        with (
            _listen(address, number) as lan,
            _listen_admin(data) as admin,
            asyncio.Runner(loop_factory=uvloop.Loop) as runner,
        ):
            runner.run(_serve(services, lan, admin))


async def _serve(services: Services, lan: socket.socket, admin: socket.socket) -> None:
    await asyncio.wrap_future(services.audit.new_epoch())
    await append(services.audit, Draft("start", {"profile": services.profile}))
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    drain = services.config.server.drain_seconds
    servers = [
        _Server(
            uvicorn.Config(
                create_lan_app(services),
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=drain + 15,
                limit_concurrency=services.config.server.max_connections,
            )
        ),
        _Server(
            uvicorn.Config(
                create_admin_app(services),
                http=PeerProtocol,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        ),
    ]
    tasks = [
        asyncio.create_task(s.serve(sockets=[k]))
        for s, k in zip(servers, (lan, admin), strict=True)
    ]
    _log.info("listening on http://%s:%s (profile %s)", *lan.getsockname()[:2], services.profile)
    loading = asyncio.create_task(_autoload(services))
    sweeping = asyncio.create_task(_sweep(services))
    keeping = [
        asyncio.create_task(services.inference.watch_keys()),
        asyncio.create_task(keep_writing_counts(services.rejected, services.audit)),
    ]
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    _log.info("stopping: running answers have %s seconds", drain)
    loading.cancel()
    sweeping.cancel()
    stopped.cancel()
    for server in servers:
        server.should_exit = True
    await services.inference.drain(drain)
    await asyncio.gather(*tasks, return_exceptions=True)
    await services.supervisor.close()
    for task in keeping:
        task.cancel()
    await write_counts(services.rejected, services.audit, everything=True)
    with contextlib.suppress(Exception):  # a latched log must not keep the server from ending
        await append(services.audit, Draft("stop", {}))


async def _autoload(services: Services) -> None:
    for problem in await services.lifecycle.autoload():
        _log.warning("not loaded: %s", problem)
    for status in services.supervisor.status():
        _log.info("serving %s (%s, %s MiB)", status.model, status.variant, status.memory_mib)


async def _sweep(services: Services) -> None:
    """Re-check the store as often as the configuration says."""
    minutes = services.config.trust.recheck_minutes
    while minutes:
        await asyncio.sleep(minutes * 60)
        with contextlib.suppress(Unavailable):  # without a log nothing is changed; again later
            for record in await services.sweep.run():
                _log.warning("%s is %s: %s", record.id, record.state, record.message)


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def _listen(address: str, port: int) -> Iterator[socket.socket]:
    try:
        listener = socket.create_server(
            (address, port),
            family=socket.AF_INET6 if ":" in address else socket.AF_INET,
            backlog=1024,
        )
    except OSError as error:
        raise UsageError(
            "bind_refused", f"{address}:{port} cannot be used: {error.strerror}"
        ) from error
    with listener:
        yield listener


@contextlib.contextmanager
def _listen_admin(data: Path) -> Iterator[socket.socket]:
    path = data / SOCKET
    if len(os.fsencode(path)) > _UNIX_PATH_LIMIT:
        raise UsageError(
            "bind_refused", f"{path} is too long for a Unix socket; use a shorter --data."
        )
    path.unlink(missing_ok=True)  # DATA/lock is ours, so nobody listens there
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        before = os.umask(0o117)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(128)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)
