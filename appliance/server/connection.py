"""One connection of the LAN listener: its limits before and during its requests.

Rules:
- Head and body of a request have a time and a size; so has an answer that its client leaves unread.
  A connection over a limit is closed, and no other notices. Connections are counted, in all and per
  source.
- Whatever cannot be read in only one way is refused: two lengths, a length next to a
  transfer-encoding, any coding but chunked, folded lines (RFC 9112, 5.2 and 6.3), no host or two.
- An offer of another protocol is declined. To HTTP/1.0 nothing is chunked.
- Refusals have the shape of every error and are counted like other rejected traffic.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from appliance.api.errors import error_body, status_of
from appliance.errors import ApplianceError, BadRequest, Overloaded, TooLarge
from appliance.server.parser import RequestParser, without_offer

_MOST_HEADERS: Final = 100
_KEPT_BYTES: Final = (
    64 << 10
)  # of an answer that is not read, and one piece; TLS would keep 512 KiB

_TOGETHER: Final = 16 << 10


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits of one connection, one source and all of them.

    Attributes:
        head_seconds: from the first byte, or the connection, to the end of the headers.
        body_seconds: from there to the end of the body.
        stall_seconds: how long a client may leave its answer unread.
    """

    connections: int = 1024
    per_source: int = 256
    head_bytes: int = 32 << 10
    head_seconds: float = 15
    body_seconds: float = 120
    stall_seconds: float = 30


@dataclass
class Connections:
    """Shared state of a listener's connections.

    Attributes:
        malformed: gets source and code of an invalid request.
        counted: gets the number of open ones, when it changes.
        sources: open connections of each address; `handshakes`: those that still shake hands.
    """

    limits: ConnectionLimits
    malformed: Callable[[str, str], None]
    counted: Callable[[int], None] | None = None
    sources: Counter[str] = field(default_factory=Counter)
    handshakes: Counter[str] = field(default_factory=Counter)

    def refusal(self, source: str) -> ApplianceError | None:
        """The reason that one more from there is too many."""
        if self.sources.total() >= self.limits.connections:
            return Overloaded("too_many_connections", "Too many connections are open.")
        if self.sources[source] >= self.limits.per_source:
            return Overloaded("too_many_connections", "Too many connections from this address.")
        return None

    def begin_handshake(self, source: str) -> bool:
        """Count one more handshake from there; False if it is too many."""
        total = self.sources.total() + self.handshakes.total()
        mine = self.sources[source] + self.handshakes[source]
        if total >= self.limits.connections or mine >= self.limits.per_source:
            self.malformed(source, "too_many_connections")
            return False
        self.handshakes[source] += 1
        return True

    def end_handshake(self, source: str) -> None:
        _one_fewer(self.handshakes, source)

    def open(self, source: str) -> None:
        self.sources[source] += 1
        self._tell()

    def close(self, source: str) -> None:
        _one_fewer(self.sources, source)
        self._tell()

    def _tell(self) -> None:
        if self.counted is not None:
            self.counted(self.sources.total())


class _Corked:
    """A transport that writes together what one turn of the loop says: head and body of an answer.

    Each write is a call of the system, and over TLS a record.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write this turn, or now if it is much."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > _TOGETHER:
            self._flush()

    def close(self) -> None:
        """Close, after what was written."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held, self._size = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.writelines(held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class LanProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits. Bind `shared` with `functools.partial`."""

    def __init__(self, *given: Any, shared: Connections, **options: Any) -> None:
        super().__init__(*given, **options)
        self.parser: Any = RequestParser(self)  # it has the methods of httptools' own
        self._offered = False
        self._shared = shared
        self._source = ""
        self._counted = self._refused = False
        self._reading_head = True
        self._head_bytes = self._taken = 0
        self._due: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    # uvicorn narrows the base class's transport in the same way, and leaves it unchecked.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        ssl_object = transport.get_extra_info("ssl_object")
        certificate = ssl_object.getpeercert(binary_form=True) if ssl_object else None
        if certificate:
            digest = hashlib.sha256(certificate).digest()
            shown = {"certificate": digest, "peer_certificate": certificate}
            self.app_state = {**self.app_state, **shown}
        transport.set_write_buffer_limits(high=_KEPT_BYTES)
        corked: Any = _Corked(transport, self.loop)
        super().connection_made(corked)
        self._source = self.client[0] if self.client else ""
        refusal = self._shared.refusal(self._source)
        if refusal is not None:
            self._refuse(refusal)
            return
        self._shared.open(self._source)
        self._counted = True
        self._arm(self._shared.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._counted:
            self._counted = False
            self._shared.close(self._source)
        self._disarm()
        self._stop_stall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, within the size of a head."""
        if self._refused or self.parser is None:
            return
        if self._reading_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._reading_head and self._head_bytes > self._shared.limits.head_bytes:
            self._refuse(_too_long())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading_head, self._taken = True, 0
        if self._due is None:
            self._arm(self._shared.limits.head_seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header, within the size of the whole head."""
        super().on_header(name, value)
        self._taken += len(name) + len(value)
        too_long = self._taken + len(self.url) > self._shared.limits.head_bytes
        if too_long or len(self.headers) > _MOST_HEADERS:
            self._refuse(_too_long())

    def on_headers_complete(self) -> None:
        """Start the body's own time."""
        if self._refused:
            return
        self._reading_head, self._head_bytes = False, 0
        self._disarm()
        if len(self.url) > self._shared.limits.head_bytes:
            self._refuse(_too_long())
            return
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1") or _ambiguous(self.headers, version):
            self._refuse(_malformed())
            return
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._offered = True
            return
        try:
            httptools.parse_url(self.url)
        except httptools.HttpParserError:
            self._refuse(_malformed())
            return
        super().on_headers_complete()
        if version == "1.0":
            _unframed(self.cycle)
        self._arm(self._shared.limits.body_seconds)

    def declined(self) -> bytes:
        """The head of the request that offered another protocol, without the offer."""
        if self._refused or not self._offered:
            return b""
        self._offered = False
        version = self.parser.get_http_version()
        return without_offer(self.parser.get_method(), self.url, version, self.headers)

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused and not self._offered:
            self._disarm()
            super().on_message_complete()
            self._reading_head = True

    def send_400_response(self, msg: str) -> None:
        """Answer invalid HTTP in the shape of every error."""
        self._refuse(_malformed())

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self._shared.limits.stall_seconds, self._cut_off)

    def resume_writing(self) -> None:
        self._stop_stall()
        super().resume_writing()

    def _refuse(self, error: ApplianceError) -> None:
        if self._refused:
            return
        self._refused = True
        self._disarm()
        self._shared.malformed(self._source, error.code)
        cycle: Any = self.cycle  # None before the first request
        if cycle is None or cycle.response_complete:  # else an answer is under way: only close
            body = json.dumps({"error": error_body(error)}).encode()
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: "
            self.transport.write(
                STATUS_LINE[status_of(error)] + head + str(len(body)).encode() + b"\r\n\r\n" + body
            )
        self.transport.close()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._due = self.loop.call_later(seconds, self._late)

    def _disarm(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _late(self) -> None:
        self._due = None
        if self._reading_head:
            self._refuse(BadRequest("request_timeout", "The request came too slowly."))
        else:
            self._cut_off()

    def _cut_off(self) -> None:
        self._shared.malformed(self._source, "request_timeout")
        self.transport.abort()

    def _stop_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


def _one_fewer(counts: Counter[str], source: str) -> None:
    counts[source] -= 1
    if counts[source] <= 0:
        del counts[source]


def _unframed(cycle: Any) -> None:
    """End an HTTP/1.0 answer of unknown length with the connection."""
    send, framed = cycle.send, True

    async def unframed(message: Any) -> None:
        nonlocal framed
        if message["type"] == "http.response.start":
            names = {name.lower() for name, _ in message.get("headers", ())}
            framed = b"content-length" in names
            cycle.chunked_encoding = None if framed else False
        elif not framed:
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    cycle.send = unframed


def _ambiguous(headers: list[tuple[bytes, bytes]], version: str) -> bool:
    hosts = sum(name == b"host" for name, _ in headers)
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        return True
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    folded = any(b"\r" in value or b"\n" in value for _, value in headers)
    unread = bool(codings) and codings != [b"chunked"]
    return folded or unread or len(lengths) > 1 or bool(lengths and codings)


def _too_long() -> ApplianceError:
    return TooLarge("headers_too_large", "The headers are too long or too many.")


def _malformed() -> ApplianceError:
    return BadRequest("malformed_http", "This is not one HTTP/1.1 request.")
