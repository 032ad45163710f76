"""The typed client of the admin socket: one method for all endpoints of `wire.admin`.

Rules: every answer is checked against its endpoint; every failure is an error of `errors.py` with
the server's code; a change is never sent twice. The client blocks: a program with an event loop
calls it from a thread (threads may share it).
"""

import json
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeAlias, overload

import httpcore
import httpx
from httpcore._backends.sync import SyncStream
from pydantic import BaseModel, ValidationError

from appliance.errors import CODES, ApplianceError, Refused, ServerUnreachable, Unavailable
from appliance.wire.admin import models as wire
from appliance.wire.admin.endpoint import Endpoint, Named, Q, R

Report: TypeAlias = Callable[[str, int, int], None]

_CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 30.0


def socket_path(data: Path) -> Path:
    """Where the server of a data directory listens for people."""
    return data / "run" / "admin.sock"


def probe(path: Path) -> None:
    """Connect and hang up.

    Raises:
        OSError: no server listens there, or this user may not connect.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CONNECT_SECONDS)
        connection.connect(str(path))


class _UnixSockets(httpcore.SyncBackend):
    """Closes the socket of a connection that fails: httpcore leaves it to the collector."""

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(path)
        except OSError as error:
            connection.close()
            raise httpcore.ConnectError(str(error)) from error
        return SyncStream(connection)


class AdminClient:
    """A connection to a running appliance, or to a command's own copy of the app.

    Args:
        answer_seconds: how long any answer but those of long work may take; None is without end.

    Attributes:
        private: it is a command's own copy.

    Every method raises:
        ServerUnreachable: `server_unreachable` when nothing answers.
        Refused, Unavailable: the server said no or cannot; the code is the server's.
    """

    def __init__(self, path: Path, *, answer_seconds: float | None = ANSWER_SECONDS) -> None:
        self._path = path
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # or it would read all CAs of the host
        transport = httpx.HTTPTransport(verify=nobody)
        transport._pool = httpcore.ConnectionPool(uds=str(path), network_backend=_UnixSockets())
        self.private = answer_seconds is None
        timeout = httpx.Timeout(answer_seconds, connect=_CONNECT_SECONDS)
        self._http = httpx.Client(transport=transport, base_url="http://appliance", timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    @overload
    def call(self, at: Endpoint[None, R], /, *, report: Report = ..., **names: Named) -> R: ...

    @overload
    def call(
        self, at: Endpoint[Q, R], request: Q, /, *, report: Report = ..., **names: Named
    ) -> R: ...

    def call(
        self,
        at: Endpoint[Any, R],
        request: BaseModel | None = None,
        /,
        *,
        report: Report = lambda phase, done, total: None,
        **names: Named,
    ) -> R:
        """Ask an endpoint; `report` gets progress, where it streams.

        Args:
            names: those of its path and its query.
        """
        return self.answer(at, request, names, report)

    def answer(
        self,
        at: Endpoint[Any, R],
        request: BaseModel | None,
        names: Mapping[str, Named],
        report: Report,
    ) -> R:
        """Override this to answer in the server's place."""
        path, query = at.filled(names)
        options: dict[str, Any] = {"params": query or None}
        if request is not None and at.method == "GET":
            options["params"] = request.model_dump(exclude_none=True)
        elif request is not None:
            options["json"] = request.model_dump(mode="json")
        if at.slow or at.streams:
            options["timeout"] = httpx.Timeout(None, connect=_CONNECT_SECONDS)
        with self._reachable(), self._http.stream(at.method, path, **options) as response:
            if not response.is_success:
                response.read()
                raise _refusal(response)
            if at.streams:
                return _result(at.reply, response.iter_lines(), report)
            return _parsed(at.reply, response.read())

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        why = str(error) or type(error).__name__
        return ServerUnreachable("server_unreachable", f"{self._path} does not answer: {why}.")


def _result(kind: type[R], lines: Iterator[str], report: Report) -> R:
    for text in lines:
        line = _parsed(wire.StreamLine, text.encode())
        if line.error:
            raise _error(line.error, httpx.codes.CONFLICT)
        if line.result is not None:
            return _parsed(kind, json.dumps(line.result).encode())
        if line.progress is None:
            raise _incompatible("a line without a meaning")
        report(line.progress.phase, line.progress.done, line.progress.total)
    raise ServerUnreachable("server_unreachable", "The server went away before it was done.")


def _refusal(response: httpx.Response) -> ApplianceError:
    return _error(_parsed(wire.ErrorReply, response.content).error, response.status_code)


def _error(body: wire.ErrorBody, status: int) -> ApplianceError:
    if body.code not in CODES:
        return _incompatible(f"unknown code {body.code}: {body.message}")
    kind: type[ApplianceError] = Refused if status < 500 else Unavailable
    return kind(body.code, body.message, param=body.param)


def _parsed(kind: type[R], content: bytes) -> R:
    if not issubclass(kind, BaseModel):
        return kind(content)
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise _incompatible(f"not a {kind.__name__}") from error


def _incompatible(why: str) -> ApplianceError:
    return Unavailable("incompatible_server", f"The server's answer cannot be read ({why}).")
