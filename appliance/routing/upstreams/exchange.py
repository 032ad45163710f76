"""One request to a host, and the bytes of its answer, over a connection of its own.

Rules:
- A connection carries one request and is closed with its answer, so that no late or doubled bytes
  are read as the answer to another request. An early answer is refused.
- Each byte is read once. Heads, trailers and informational answers are bounded, and reading pauses
  while too many bytes wait.
"""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from typing import Any, Final

import httptools

from appliance.errors import UpstreamLost
from appliance.text import visible

_MOST_HEAD: Final = 64 << 10
_MOST_INFORMATIONAL: Final = 8
_MOST_WAITING: Final = 256 << 10
_PART: Final = 64 << 10
_OK: Final = 200


def invalid(what: str) -> UpstreamLost:
    """The error `upstream_invalid`."""
    return UpstreamLost("upstream_invalid", f"The upstream was not understood: {what}.")


class Exchange(asyncio.Protocol):
    """One connection.

    Attributes:
        headers: of the answer; of repeated ones the last.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._news = asyncio.Event()
        self._parts: list[bytes] = []
        self._waiting = self._beside = self._informational = 0
        self._sent = self._head = self._whole = self._paused = False
        self._why: Exception | None = None
        self.status = 0
        self.headers: dict[bytes, bytes] = {}

    def send(self, request: bytes) -> None:
        if self._transport is None or self._sent:
            raise RuntimeError("a connection carries one request")
        self._sent = True
        self._transport.write(request)

    async def answered(self) -> None:
        """Wait for the head; UpstreamLost (`upstream_invalid`, `upstream_lost`,
        `upstream_certificate`).
        """
        while not self._head and self._why is None:
            await self._next()
        if not self._head and self._why is not None:
            raise self._why

    async def body(self) -> AsyncIterator[bytes]:
        """At most 64 KiB at once.

        Raises:
            UpstreamLost: as `answered`; also after the last byte, for anything behind it.
        """
        while True:
            data = b"".join(self._parts)
            self._parts.clear()
            self._waiting = 0
            for at in range(0, len(data), _PART):
                yield data[at : at + _PART]
            if self._parts:
                continue
            if self._why is not None:
                raise self._why
            if self._whole:
                return
            if self._paused and self._transport is not None:
                self._paused = False
                self._transport.resume_reading()
            await self._next()

    @property
    def certificate(self) -> str:
        """Hex SHA-256 of the host's certificate; "" without TLS."""
        tls = None if self._transport is None else self._transport.get_extra_info("ssl_object")
        shown = None if tls is None else tls.getpeercert(binary_form=True)
        return "" if shown is None else hashlib.sha256(shown).hexdigest()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def _next(self) -> None:
        self._news.clear()
        await self._news.wait()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """uvloop's transport has all of `Transport` without being one."""
        narrowed: Any = transport
        self._transport = narrowed

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._why is not None:
            return
        under_way = not self._sent or self._transport.get_write_buffer_size() > 0
        self._beside += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            what = f"its answer is no HTTP: {visible(str(error))[:100]}"
            self._refuse("something follows its answer" if self._whole else what)
        if under_way and not (self._sent and self._head and self.status != _OK):
            self._refuse("its answer came before the request was sent")
        elif self._beside > _MOST_HEAD:
            self._refuse(f"{_MOST_HEAD} bytes of it hold nothing of an answer")
        elif self._informational > _MOST_INFORMATIONAL:
            self._refuse("it does not come to its answer")
        if self._waiting > _MOST_WAITING and not (self._paused or self._transport.is_closing()):
            self._paused = True
            self._transport.pause_reading()
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end may be that of an answer of undeclared length."""
        lengths = {b"content-length", b"transfer-encoding"}
        if self._why is None and not self._whole:
            if exc is None and self._head and not lengths & self.headers.keys():
                self._whole = True
            else:
                self._why = lost(exc)
        self._paused = False
        self._news.set()

    def _refuse(self, what: str) -> None:
        self._why = self._why or invalid(what)
        self.close()

    # httptools

    def on_message_begin(self) -> None:
        """The first head, or one behind an informational one."""
        if self._whole:
            self._refuse("something follows its answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers are ignored."""
        if not self._head:
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._whole or self._why is not None:
            return
        status = self._parser.get_status_code()
        if status // 100 == 1:
            self._informational += 1
            self.headers.clear()
            return
        self.status, self._head = status, True

    def on_body(self, data: bytes) -> None:
        if not self._whole and self._why is None:
            self._beside = 0
            self._waiting += len(data)
            self._parts.append(data)

    def on_message_complete(self) -> None:
        self._whole = self._head


def lost(error: Exception | None) -> UpstreamLost:
    """The error of a connection that ended too early."""
    refused = isinstance(error, ssl.SSLError) and "ALERT" in str(error).upper()
    code = "upstream_certificate" if refused else "upstream_lost"
    return UpstreamLost(code, f"The upstream is lost: {told(error)}.")


def told(error: BaseException | None) -> str:
    """An error's own words, safe to show."""
    if error is None:
        return "it closed the connection"
    return visible(str(error) or type(error).__name__)[:200].rstrip(".")
