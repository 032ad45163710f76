"""`appliance serve`: the LAN listener, the admin socket and metrics in one event loop.

Rules: the admin socket is made with mode 0660 in a directory of mode 0750, never wider for an
instant; a non-loopback address takes TLS and a key; a certificate whose files change is read again,
at SIGHUP at once, and with it the upstreams of the configuration; on SIGTERM or SIGINT new work is
refused, running answers may end, then workers and log are closed in that order.
"""

import asyncio
import contextlib
import functools
import gc
import ipaddress
import logging
import os
import resource
import signal
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn
import uvloop
from starlette.types import ASGIApp

from appliance import __version__
from appliance.api.admin.app import create_admin_app
from appliance.api.admin.peer import PeerProtocol
from appliance.api.app import create_lan_app
from appliance.api.observe import Observer, keep_writing_counts, write_counts
from appliance.app import Services, open_services
from appliance.audit.appending import append
from appliance.audit.log import Draft
from appliance.auth import certificates
from appliance.errors import ApplianceError, Refused, Unavailable, UsageError
from appliance.governance.agreement import AGREES
from appliance.observability import log_file, log_lines
from appliance.observability.unexpected import kept
from appliance.registry.audit_entries import SYSTEM
from appliance.server.address import keep
from appliance.server.connection import ConnectionLimits, Connections, LanProtocol
from appliance.server.onlooker import Onlooker
from appliance.server.tls_listener import TlsAcceptor
from appliance.tasks.catalogue import KIND as TASK_KIND
from appliance.trust.artifacts.store import load_policy
from appliance.types import Json

SOCKET = Path("run") / "admin.sock"
_UNIX_PATH_LIMIT = 107
_HANDSHAKE_S = 15.0
_LAST_BYTES_S = 5.0
_LOOK_AT_THE_LOG_S = 1.0
_LOOK_AT_THE_STATE_S = 60.0
_DAY_US = 86_400_000_000
_NIGHT_US = 3 * 3_600_000_000
_SCRAPES = ConnectionLimits(connections=16, per_source=8, head_seconds=5, body_seconds=5)
_QUIET: Any = {
    "ws": "none",  # whatever is installed: it would take connections out of the count
    "log_config": None,
    "access_log": False,
    "proxy_headers": False,  # who connects is who asks, whatever a header says
    "lifespan": "off",
    "server_header": False,
}
_LOCK_S = 5.0
"""A command without a server has the directory for a second; it stops no start."""
_log = logging.getLogger("appliance")


class _QuietServer(uvicorn.Server):
    """A uvicorn server that leaves signals to `serve`, since two of them share the loop.

    Args:
        shared: counts the connections, handshakes of TLS among them.
    """

    def __init__(self, config: uvicorn.Config, shared: Connections | None = None) -> None:
        super().__init__(config)
        self._shared = shared

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, but count handshakes of TLS before they begin."""
        await self.lifespan.startup()
        self.servers = [await self._listener(sock) for sock in sockets or []]
        self.started = True

    async def _listener(self, sock: socket.socket) -> asyncio.Server:
        context, shared = self.config.ssl, self._shared
        if context is None or shared is None:
            loop = asyncio.get_running_loop()
            return await loop.create_server(self._protocol, sock=sock, backlog=self.config.backlog)
        # uvicorn closes it and waits for that, as it does with a server of the loop.
        acceptor: Any = TlsAcceptor(sock, context, self._protocol, shared, _HANDSHAKE_S)
        made: asyncio.Server = acceptor
        return made

    def _protocol(self) -> asyncio.Protocol:
        # Typed as any protocol class; it is one of uvicorn's, which take these three arguments.
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        return made

    async def finish(self, seconds: float) -> None:
        """Give the last bytes this long to leave, then close the connections that are left.

        Nothing else ends a connection that sends half a request, never reads its answer, or leaves
        TLS's farewell unanswered, as idle kept-alive clients do.
        """
        end = time.monotonic() + seconds
        while self.server_state.connections and time.monotonic() < end:
            await asyncio.sleep(0.02)
        for connection in list(self.server_state.connections):
            open_one: Any = connection  # one of uvicorn's protocols
            open_one.transport.abort()
        self.force_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


_COLLECTED: Final = (20_000, 20, 20)
"""When garbage is looked for. With Python's own 700 the requests under way are looked through again
and again, and a twentieth of an answer's processor time goes there."""
_SWITCH_S: Final = 0.0005  # the loop waits so long for a thread that reads a large body


def serve(
    data: Path, host: str | None = None, port: int | None = None, *, save: bool = False
) -> None:
    """Run until a signal.

    Args:
        host, port: in place of those of the configuration.
        save: write them into the configuration once the server listens there.

    Raises:
        UsageError: `bind_refused` for an address that is not loopback.
        StateRefused: `data_locked`.
    """
    gc.set_threshold(*_COLLECTED)
    sys.setswitchinterval(_SWITCH_S)
    with (
        open_services(data, patience=_LOCK_S) as services,
        log_lines.configured(services.config.server.log),
        log_file.kept(data, services.config.server.log_file_mib, services.log_file),
    ):
        address = host or services.config.server.host
        _check_address(services, address)
        context = _tls_context(services)
        scraped = _metrics_context(services)
        _raise_descriptor_limit()
        number = services.config.server.port if port is None else port
        with (
            _listen(address, number) as lan,
            _listen_admin(data) as admin,
            _listen_for_scrapes(services) as scrapes,
            asyncio.Runner(loop_factory=uvloop.Loop) as runner,
        ):
            if save:
                keep(data, host, lan.getsockname()[1])
            services.forwarding.start()
            services.ring.start()
            services.notifier.start()
            listeners = _Listeners(lan, admin, scrapes, context, scraped)
            runner.run(_serve(services, listeners))


@dataclass(frozen=True)
class _Listeners:
    """The sockets, and the TLS of two of them; `scrapes` is None where Prometheus has no port."""

    lan: socket.socket
    admin: socket.socket
    scrapes: socket.socket | None
    lan_tls: ssl.SSLContext | None
    scrapes_tls: ssl.SSLContext | None

    @property
    def contexts(self) -> list[ssl.SSLContext]:
        return [one for one in (self.lan_tls, self.scrapes_tls) if one is not None]


async def _serve(services: Services, listeners: _Listeners) -> None:
    await asyncio.wrap_future(services.audit.new_epoch())
    await append(services.audit, Draft("start", _start(services)))
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    if services.site is not None:
        services.site.start(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    onlooker = Onlooker(services, listeners.contexts)
    reading: set[asyncio.Task[None]] = set()

    def read_again() -> None:
        onlooker.reload()
        task = asyncio.create_task(_read_upstreams(services))
        reading.add(task)
        task.add_done_callback(reading.discard)

    loop.add_signal_handler(signal.SIGHUP, read_again)
    drain = services.config.server.drain_seconds
    url = services.config.url(*listeners.lan.getsockname()[:2])
    serving = _servers(services, listeners, url)
    servers = list(serving)
    gc.collect()
    gc.freeze()  # a later search for garbage leaves out what is here for good
    tasks = [asyncio.create_task(s.serve(sockets=[k])) for s, k in serving.items()]
    _log.info("listening on %s (profile %s)", url, services.profile)
    await services.jobs.serve()
    loading = asyncio.create_task(_autoload(services))
    await _carry(services)
    changing = _kept(services, {"re-check": _sweep, "drift": _drift, "replay": _replay})
    keeping = _kept(
        services,
        {
            "keys": lambda of: of.inference.watch_keys(),
            "state": _agree,
            "trust": lambda of: of.renewal.watch(),
            "shadows": lambda of: of.shadows.run(of.inference),
            "monitors": lambda of: of.monitors.watch(),
            "upstreams": lambda of: of.upstreams.run(),
            "alarms": lambda of: onlooker.run(),
            "batches": lambda of: of.batches.watch(),
            "counts": lambda of: keep_writing_counts(of.rejected, of.audit),
        },
    )
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    _log.info("stopping: running answers have %s seconds", drain)
    for task in (loading, *changing, stopped):
        task.cancel()
    if services.site is not None:
        await services.site.leave()
    for server in servers:
        server.should_exit = True
    await services.pool.close()
    await services.jobs.close()
    await services.inference.drain(drain)
    await services.backgrounds.ended()
    await asyncio.gather(*(server.finish(_LAST_BYTES_S) for server in servers))
    await asyncio.gather(*tasks, return_exceptions=True)
    await services.supervisor.close()
    for task in keeping:
        task.cancel()
    await services.upstreams.close()
    await write_counts(services.rejected, services.audit, everything=True)
    with contextlib.suppress(Exception):  # a latched log must not keep the server from ending
        await append(services.audit, Draft("stop", {}))


def _servers(
    services: Services, listeners: _Listeners, url: str
) -> dict[_QuietServer, socket.socket]:
    grace = services.config.server.drain_seconds + 15
    lan = _tls_server(create_lan_app(services), _connections(services), listeners.lan_tls, grace)
    people = uvicorn.Config(
        create_admin_app(services, url=url),
        http=PeerProtocol,
        timeout_graceful_shutdown=5,
        **_QUIET,
    )
    made = {lan: listeners.lan, _QuietServer(people): listeners.admin}
    if listeners.scrapes is not None:
        from appliance.api.scrape import scrape_app  # loaded where a site switches it on

        shared = Connections(_SCRAPES, Observer(services.rejected, services.metrics).malformed)
        made[_tls_server(scrape_app(services), shared, listeners.scrapes_tls, 5)] = (
            listeners.scrapes
        )
    return made


def _tls_server(
    app: ASGIApp, shared: Connections, context: ssl.SSLContext | None, grace: int
) -> _QuietServer:
    http: Any = functools.partial(LanProtocol, shared=shared)
    factory = None if context is None else lambda *_: context
    config = uvicorn.Config(
        app, http=http, ssl_context_factory=factory, timeout_graceful_shutdown=grace, **_QUIET
    )
    return _QuietServer(config, shared)


def _kept(
    services: Services, works: Mapping[str, Callable[[Services], Awaitable[None]]]
) -> list[asyncio.Task[None]]:
    """Endless tasks, by what they watch; none of them dies in silence."""
    return [
        asyncio.create_task(kept(what, functools.partial(work, services), services.metrics))
        for what, work in works.items()
    ]


def _start(services: Services) -> dict[str, Json]:
    return {
        "profile": services.profile,
        "release": __version__,
        AGREES: services.agreement.size,
    }


async def _carry(services: Services) -> None:
    """Carry over certificates of tasks and routes from another engine."""
    try:
        policy = await asyncio.to_thread(load_policy, services.data / "trust")
        waiting = await asyncio.to_thread(services.store.of_other_engine, policy)
        routes = await asyncio.to_thread(services.routes.of_other_engine, policy)
    except Refused as error:  # without a policy nothing is served
        _log.warning("%s", error)
        return
    for task in waiting:
        _log.info("%s was evaluated with another engine: it answers after a replay", task)
        await services.jobs.start("carry", {"task": task}, SYSTEM)
    for route in routes:
        _log.info("%s was certified with another engine: it defers until a replay", route)
        await services.jobs.start("route-carry", {"route": route}, SYSTEM)


async def _autoload(services: Services) -> None:
    """Load the models of the start, once loads can be recorded."""
    if services.audit.latched:
        _log.warning("no model is loaded yet: %s", services.audit.latched)
    while services.audit.latched:
        await asyncio.sleep(_LOOK_AT_THE_LOG_S)
    # Asked for by every estimate of memory; the first answer takes too long for the loop.
    await asyncio.to_thread(lambda: services.supervisor.variant.name)
    await services.pool.autoload()
    for status in services.supervisor.status():
        _log.info("serving %s (%s, %s MiB)", status.model, status.variant, status.memory_mib)


async def _sweep(services: Services) -> None:
    minutes = services.config.trust.recheck_minutes
    while minutes:
        await asyncio.sleep(minutes * 60)
        # Without a log or a readable policy nothing is changed; again later.
        with contextlib.suppress(Unavailable, Refused):
            for record in await services.sweep.run():
                _log.warning("%s is %s: %s", record.id, record.state, record.message)


async def _read_upstreams(services: Services) -> None:
    """Reread the upstreams; unusable ones are an alarm."""
    with contextlib.suppress(ApplianceError):
        await services.upstreams.reload(SYSTEM)


async def _agree(services: Services) -> None:
    while True:
        await asyncio.sleep(_LOOK_AT_THE_STATE_S)
        with contextlib.suppress(Unavailable, Refused):
            found = await asyncio.to_thread(services.agreement.look)
            for alarm in found.alarms():
                _log.error("%s", alarm)


async def _drift(services: Services) -> None:
    hours = services.config.drift.check_hours
    while hours:
        await asyncio.sleep(hours * 3600)
        for record in services.store.inventory.records():
            if record.state == "approved" and record.kind == TASK_KIND:
                # Without a log nothing is read; again later.
                with contextlib.suppress(Unavailable, Refused):
                    await services.jobs.start("drift", {"task": record.id}, SYSTEM)


async def _replay(services: Services) -> None:
    """Recompute some of the last day's answers, at the same hour of each day."""
    count = services.config.audit.replay_nightly
    while count:
        await asyncio.sleep(until_night(services.clock.wall_us()))
        wanted = {"sample": count, "since_us": services.clock.wall_us() - _DAY_US, "here": True}
        with contextlib.suppress(Unavailable, Refused):
            await services.jobs.start("replay", wanted, SYSTEM)


def until_night(now_us: int) -> float:
    """Seconds until the next 3:00 UTC; above 0."""
    return ((_NIGHT_US - now_us - 1) % _DAY_US + 1) / 1e6


def _check_address(services: Services, address: str) -> None:
    """Beyond loopback only with TLS and a live key, and never in the lab."""
    if _is_loopback(address):
        return
    if not services.config.tls.enabled:
        raise UsageError("bind_refused", f"{address} is not a loopback address, and TLS is off.")
    if not any(services.keys.is_live(key.id) for key in services.keys.list()):
        raise UsageError("bind_refused", f"{address} is not a loopback address; no key exists.")
    if services.profile == "lab":  # a trial must not become production by accident
        raise UsageError(
            "bind_refused", "The lab profile is for one machine: it listens on loopback only."
        )


def _tls_context(services: Services) -> ssl.SSLContext | None:
    tls, data = services.config.tls, services.data
    if not tls.enabled:
        return None
    certificates.change_if_due((data / tls.certificate).parent, services.clock)
    cas = [tls.client_ca, *(one.ca for one in services.config.certificates.values())]
    shown = data / tls.certificate, data / tls.key
    return certificates.server_context(*shown, *(data / one for one in cas if one))


def _metrics_context(services: Services) -> ssl.SSLContext | None:
    wanted, tls, data = services.config.metrics, services.config.tls, services.data
    if not wanted.port:
        return None
    if not wanted.token and not wanted.client_ca:
        message = "metrics.token or metrics.client_ca is missing: nobody could read."
        raise UsageError("config_invalid", message, param="metrics.token")
    cas = [data / wanted.client_ca] if wanted.client_ca else []
    context = certificates.server_context(data / tls.certificate, data / tls.key, *cas)
    if not wanted.token:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _connections(services: Services) -> Connections:
    server = services.config.server
    limits = ConnectionLimits(
        connections=server.max_connections,
        per_source=server.max_connections_per_source,
        head_bytes=server.max_head_bytes,
        head_seconds=server.head_seconds,
        body_seconds=server.body_seconds,
        stall_seconds=server.stall_seconds,
    )
    observer = Observer(services.rejected, services.metrics)
    return Connections(limits, observer.malformed, services.metrics.connections.set)


def _raise_descriptor_limit() -> None:
    """Allow as many descriptors as this user may have: each connection takes one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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
def _listen_for_scrapes(services: Services) -> Iterator[socket.socket | None]:
    wanted = services.config.metrics
    if not wanted.port:
        yield None
        return
    if services.profile == "lab" and not _is_loopback(wanted.host):
        raise UsageError(
            "bind_refused", "The lab profile is for one machine: it listens on loopback only."
        )
    with _listen(wanted.host, wanted.port) as listener:
        yield listener


@contextlib.contextmanager
def _listen_admin(data: Path) -> Iterator[socket.socket]:
    path = data / SOCKET
    if len(os.fsencode(path)) > _UNIX_PATH_LIMIT:
        raise UsageError(
            "bind_refused", f"{path} is too long for a Unix socket; use a shorter --data."
        )
    path.unlink(missing_ok=True)  # DATA/lock is ours, so no server listens there
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
