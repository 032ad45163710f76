"""The only way out: HTTP to one approved host.

Rules:
- Nothing but the configured host is connected to: no proxy of the environment, no redirect is
  followed, TLS takes the pinned certificates alone.
- Nothing of a client is forwarded: the body is ours, and the headers are named here.
- An error says whether the request can have reached the engine. `NotSent` is the only one after
  which it may be sent again.
- What comes back is bounded and not decompressed.
"""

import json
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpcore

from appliance.config import UpstreamConfig
from appliance.errors import (
    ApplianceError,
    BadRequest,
    Unavailable,
    UpstreamLost,
    UsageError,
)
from appliance.routing.upstreams.stream import invalid
from appliance.text import visible

_MOST_ERROR: Final = 64 << 10
_MOST_PROBE: Final = 1 << 20
# Shorter than what engines keep an idle connection for, so that none ends while we send.
_KEEP_S: Final = 2.0
_OK, _REDIRECTS, _REJECTS = 200, 3, 4
_NOT_SENT: Final = (httpcore.ConnectError, httpcore.ConnectTimeout)
_FAILED: Final = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)
_BUSY: Final = frozenset({429, 503})
_DENIED: Final = frozenset({401, 403})


class NotSent(Unavailable):
    """The request did not leave: there is no connection to the host.

    Args:
        gone: the host refused it, or its certificate is another; not that it took too long.
    """

    def __init__(self, code: str, message: str, *, gone: bool = True) -> None:
        super().__init__(code, message)
        self.gone = gone


def tls_context(config: UpstreamConfig, data: Path) -> ssl.SSLContext | None:
    """What TLS takes and shows; None without TLS.

    Raises:
        UsageError: `certificate_unusable`.
    """
    if not config.ca:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(data / config.ca)
        if config.certificate:
            context.load_cert_chain(data / config.certificate, data / config.key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError("certificate_unusable", f"{config.ca}: {error}") from error
    return context


def api_key(config: UpstreamConfig, data: Path) -> str:
    """The key that the hosts ask for; "" without one.

    Raises:
        UsageError: `key_unreadable`.
    """
    if not config.api_key:
        return ""
    try:
        text = (data / config.api_key).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("key_unreadable", f"{config.api_key}: {error}") from error
    if not text or not text.isprintable():
        raise UsageError("key_unreadable", f"{config.api_key} holds no key.")
    return text


class _Kept:
    """Idle connections to a host, the one that was used last first.

    The library's own pool looks at each of its connections twice for every request.

    Args:
        most: that are kept.
    """

    def __init__(self, origin: httpcore.Origin, tls: ssl.SSLContext | None, most: int) -> None:
        self._origin, self._tls, self._most = origin, tls, most
        self._idle: deque[httpcore.AsyncHTTPConnection] = deque()

    def fresh(self) -> httpcore.AsyncHTTPConnection:
        """A connection that was not used yet."""
        return httpcore.AsyncHTTPConnection(self._origin, self._tls, keepalive_expiry=_KEEP_S)

    async def take(self) -> httpcore.AsyncHTTPConnection:
        """An idle connection that the host did not close, else a fresh one."""
        while self._idle:
            found = self._idle.pop()
            if not found.has_expired():
                return found
            await found.aclose()
        return self.fresh()

    async def give(self, connection: httpcore.AsyncHTTPConnection) -> None:
        """Keep a connection for the next request, or close it if it is of no more use."""
        if not connection.is_idle() or connection.has_expired():
            await connection.aclose()
            return
        self._idle.append(connection)
        while len(self._idle) > self._most or self._idle[0].has_expired():
            await self._idle.popleft().aclose()
            if not self._idle:
                break

    async def close(self) -> None:
        """Close all of them."""
        while self._idle:
            await self._idle.pop().aclose()


class Connection:
    """Requests to one host.

    Args:
        url: the host.
        tls: what `tls_context` made.
        key: what `api_key` read.
    """

    def __init__(self, url: str, config: UpstreamConfig, tls: ssl.SSLContext | None, key: str):
        self._url = httpcore.URL(url)
        self._headers = [
            (b"host", url.partition("://")[2].encode()),
            (b"user-agent", b"appliance"),
            (b"accept-encoding", b"identity"),
            (b"content-type", b"application/json"),
        ]
        if key:
            self._headers.append((b"authorization", f"Bearer {key}".encode()))
        connect, idle = config.connect_ms / 1000, float(config.idle_seconds)
        self._times = {"connect": connect, "read": idle, "write": idle}
        # How many there are at once is bounded by the places of requests.
        self._kept = _Kept(self._url.origin, tls, config.slots)

    async def close(self) -> None:
        """Close the connections that are idle; the others end with their requests."""
        await self._kept.close()

    @asynccontextmanager
    async def stream(
        self, path: str, body: bytes, call: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a request once; the bytes of its answer as they come.

        Args:
            call: our name for it, the only thing that the host learns of who asked.

        Raises:
            NotSent: `upstream_unavailable`, `upstream_certificate`.
            UpstreamLost: `upstream_lost`, `upstream_timeout`, `upstream_invalid`,
                `upstream_redirect`, `upstream_denied`, `upstream_incomplete`.
            Unavailable: `upstream_busy`.
            BadRequest: `upstream_rejected`.
        """
        more = [(b"x-request-id", call.encode()), (b"accept", b"text/event-stream")]
        connection = await self._kept.take()
        try:
            response = await self._sent(connection, path, body, more)
            try:
                if response.status != _OK:
                    raise _refusal(response.status, await _bounded(response, _MOST_ERROR))
                _check_form(response, "text/event-stream")
                yield _received(response)
            finally:
                await response.aclose()
        finally:
            await self._kept.give(connection)

    async def ask(self, path: str, body: dict[str, Any]) -> Any:
        """Send a probe and read its answer, a JSON document; raises as `stream`.

        Each has a connection of its own, so that certificates are looked at each time.
        """
        connection, data = self._kept.fresh(), json.dumps(body).encode()
        try:
            response = await self._sent(connection, path, data, [(b"connection", b"close")])
            data = await _bounded(response, _MOST_PROBE)
            if response.status != _OK:
                raise _refusal(response.status, data)
            _check_form(response, "application/json")
        finally:
            await connection.aclose()
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise invalid("its answer is not JSON") from error

    async def _sent(
        self,
        connection: httpcore.AsyncHTTPConnection,
        path: str,
        body: bytes,
        more: list[tuple[bytes, bytes]],
    ) -> httpcore.Response:
        url, target = self._url, self._url.target.rstrip(b"/") + path.encode()
        request = httpcore.Request(
            b"POST",
            httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=target),
            headers=[*self._headers, *more, (b"content-length", b"%d" % len(body))],
            content=body,
            extensions={"timeout": self._times},
        )
        try:
            return await connection.handle_async_request(request)
        except _NOT_SENT as error:
            certificate = "CERTIFICATE" in str(error).upper()
            code = "upstream_certificate" if certificate else "upstream_unavailable"
            gone = isinstance(error, httpcore.ConnectError)
            raise NotSent(code, f"The host was not reached: {_told(error)}.", gone=gone) from error
        except _FAILED as error:
            raise _lost(error) from error


async def _received(response: httpcore.Response) -> AsyncIterator[bytes]:
    try:
        async for data in response.aiter_stream():
            yield data
    except _FAILED as error:
        raise _lost(error) from error


async def _bounded(response: httpcore.Response, most: int) -> bytes:
    data = b""
    async for part in _received(response):
        data += part
        if len(data) > most:
            raise invalid(f"its answer is larger than {most} bytes")
    return data


def _check_form(response: httpcore.Response, wanted: str) -> None:
    headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
    found = headers.get(b"content-type", "").partition(";")[0].strip()
    if found != wanted:
        raise invalid(f"its answer is {visible(found)[:60] or 'nothing'} in place of {wanted}")
    if headers.get(b"content-encoding", "identity") != "identity":
        raise invalid("its answer is compressed, and none was asked for")


def _refusal(status: int, data: bytes) -> ApplianceError:
    told = visible(data.decode("utf-8", "replace"))[:200]
    if status // 100 == _REDIRECTS:
        return UpstreamLost("upstream_redirect", f"The upstream answered {status}.")
    if status in _BUSY:
        return Unavailable("upstream_busy", f"The upstream has no room: {status}.", retry_after=1)
    if status in _DENIED:
        return UpstreamLost("upstream_denied", f"The upstream answered {status}.")
    if status // 100 == _REJECTS:
        return BadRequest("upstream_rejected", f"The upstream answered {status}: {told}")
    return UpstreamLost("upstream_incomplete", f"The upstream answered {status}: {told}")


def _lost(error: Exception) -> UpstreamLost:
    if isinstance(error, httpcore.TimeoutException):
        return UpstreamLost("upstream_timeout", "The upstream sent nothing for too long.")
    code = "upstream_certificate" if "ALERT" in str(error).upper() else "upstream_lost"
    return UpstreamLost(code, f"The upstream is lost: {_told(error)}.")


def _told(error: BaseException) -> str:
    return visible(str(error) or type(error).__name__)[:200].rstrip(".")
