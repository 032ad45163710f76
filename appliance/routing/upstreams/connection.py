"""The only way out: HTTP to one approved host.

Rules:
- Only the configured host is connected to: no proxy of the environment, no redirect, pinned
  certificates only, checked at each request's own connection.
- Nothing of a client is forwarded: the body is ours, and the headers are named here.
- Only after `NotSent` may a request be sent again.
- Answers are bounded, decoded by a schema, and not decompressed.
"""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from appliance.auth import certificates
from appliance.config import UpstreamConfig
from appliance.errors import (
    ApplianceError,
    BadRequest,
    Unavailable,
    UpstreamLost,
)
from appliance.routing.upstreams.events import decoded
from appliance.routing.upstreams.exchange import Exchange, invalid, told
from appliance.text import visible
from appliance.types import JsonValue

_MOST_ERROR: Final = 64 << 10
_MOST_PROBE: Final = 1 << 20
_METRIC: Final = re.compile(r"([A-Za-z_:][\w:]*)(?:\{[^}]*\})? ([0-9.e+]{1,30})")
_OK, _REDIRECTS, _REJECTS = 200, 3, 4
_BUSY: Final = frozenset({429, 503})
_DENIED: Final = frozenset({401, 403})
T = TypeVar("T")


class NotSent(Unavailable):
    """The request did not leave: there is no connection to the host.

    Args:
        gone: the host refused it or has another certificate, and was not just slow.
    """

    def __init__(self, code: str, message: str, *, gone: bool = True) -> None:
        super().__init__(code, message)
        self.gone = gone


class DocumentTooLarge(UpstreamLost):
    """More bytes than are allowed."""


def tls_context(config: UpstreamConfig, data: Path) -> ssl.SSLContext | None:
    """None without TLS. Raises UsageError (`certificate_unusable`)."""
    if not config.ca:
        return None
    return certificates.pinned(data, config.ca, config.certificate, config.key)


class Connection:
    """Requests to one host.

    Args:
        tls: of `tls_context`.
        key: the API key that the host asks for; "" for none.
    """

    def __init__(self, url: str, config: UpstreamConfig, tls: ssl.SSLContext | None, key: str):
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._root, self._tls = parts.path.rstrip("/"), tls
        headers = {
            "host": parts.netloc,
            "user-agent": "appliance",
            "accept-encoding": "identity",
            "connection": "close",
            "content-type": "application/json",
        }
        if key:
            headers["authorization"] = f"Bearer {key}"
        self._headers = headers
        self._connect_s, self._idle_s = config.connect_ms / 1000, float(config.idle_seconds)

    @asynccontextmanager
    async def stream(
        self, path: str, body: bytes, call: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a request once.

        Args:
            call: our name for it, the host's only information on who asked.

        Raises:
            NotSent: `upstream_unavailable`, `upstream_certificate`.
            UpstreamLost: `upstream_lost`, `upstream_timeout`, `upstream_invalid`,
                `upstream_redirect`, `upstream_denied`, `upstream_incomplete`.
            Unavailable: `upstream_busy`.
            BadRequest: `upstream_rejected`.
        """
        more = {"x-request-id": call, "accept": "text/event-stream"}
        async with self._sent(path, body, more) as exchange:
            if exchange.status != _OK:
                raise _refusal(exchange.status, await _bounded(exchange, _MOST_ERROR))
            _check_form(exchange.headers, "text/event-stream")
            yield exchange.body()

    async def ask(self, path: str, body: Mapping[str, JsonValue] | None, form: type[T]) -> T:
        """Send a probe and read its answer; raises as `stream`.

        Args:
            body: None for a GET.
        """
        sent = None if body is None else json.dumps(body).encode()
        try:
            async with asyncio.timeout(self._idle_s):
                return (await self.document(path, sent, form))[0]
        except TimeoutError as error:
            message = "The upstream sent nothing for too long."
            raise UpstreamLost("upstream_timeout", message) from error

    async def document(
        self,
        path: str,
        body: bytes | None,
        form: type[T],
        call: str = "",
        most: int = _MOST_PROBE,
    ) -> tuple[T, Mapping[bytes, bytes]]:
        """As `ask`.

        Args:
            most: bytes of the answer.
        """
        method = "GET" if body is None else "POST"
        more = {"x-request-id": call} if call else {}
        async with self._sent(path, body or b"", more, method) as exchange:
            if exchange.status != _OK:
                raise _refusal(exchange.status, await _bounded(exchange, _MOST_ERROR))
            data = await _bounded(exchange, most)
        _check_form(exchange.headers, "application/json")
        return await decoded(data, form), exchange.headers

    async def instance(self, path: str) -> str:
        """Identify the process behind a host; raises as `stream`.

        Args:
            path: of Prometheus metrics; "" where its kind has none.

        Returns:
            Its certificate, and its start time if known.
        """
        if not path:
            exchange = await self._connected()
            exchange.close()
            return f"{exchange.certificate} "
        certificate, data = await self._metrics(path)
        began = re.search(rb"^process_start_time_seconds ([0-9.e+]{1,30})$", data, re.MULTILINE)
        return f"{certificate} {began[1].decode() if began else ''}"

    async def queue(self, path: str, names: Collection[str]) -> int:
        """Sum of the metrics that count requests of all clients there; raises as `stream`."""
        _, data = await self._metrics(path)
        found = (_METRIC.fullmatch(line) for line in data.decode("utf-8", "replace").split("\n"))
        return round(sum(float(one[2]) for one in found if one and one[1] in names))

    async def _metrics(self, path: str) -> tuple[str, bytes]:
        async with asyncio.timeout(self._idle_s), self._sent(path, b"", {}, "GET") as exchange:
            data = await _bounded(exchange, _MOST_PROBE) if exchange.status == _OK else b""
        return exchange.certificate, data

    @asynccontextmanager
    async def _sent(
        self, path: str, body: bytes, more: dict[str, str], method: str = "POST"
    ) -> AsyncIterator[Exchange]:
        """Yields once the answer's head is there."""
        lines = {**self._headers, **more, "content-length": str(len(body))}
        head = f"{method} {self._root}{path} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        exchange = await self._connected()
        try:
            exchange.send(f"{head}\r\n".encode() + body)
            await exchange.answered()
            yield exchange
        finally:
            exchange.close()

    async def _connected(self) -> Exchange:
        loop = asyncio.get_running_loop()
        name = self._host if self._tls is not None else None
        exchange = Exchange()
        try:
            async with asyncio.timeout(self._connect_s):
                await loop.create_connection(
                    lambda: exchange, self._host, self._port, ssl=self._tls, server_hostname=name
                )
        except (OSError, TimeoutError) as error:
            certificate = "CERTIFICATE" in str(error).upper()
            code = "upstream_certificate" if certificate else "upstream_unavailable"
            late = isinstance(error, TimeoutError)
            message = f"The host was not reached: {told(error)}."
            raise NotSent(code, message, gone=not late) from error
        return exchange


async def _bounded(exchange: Exchange, most: int) -> bytes:
    data = bytearray()
    async for part in exchange.body():
        data += part
        if len(data) > most:
            raise DocumentTooLarge("upstream_invalid", f"The upstream sent more than {most} bytes.")
    return bytes(data)


def _check_form(headers: dict[bytes, bytes], wanted: str) -> None:
    def value(name: bytes, usual: str) -> str:
        return headers.get(name, usual.encode()).decode("latin-1").strip().lower()

    found = value(b"content-type", "").partition(";")[0].strip()
    if found != wanted:
        raise invalid(f"its answer is {visible(found)[:60] or 'nothing'} in place of {wanted}")
    encodings = value(b"content-encoding", "identity"), value(b"transfer-encoding", "chunked")
    if encodings != ("identity", "chunked"):
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
