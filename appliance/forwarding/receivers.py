"""Connections to receivers: syslog over TLS, OTLP over HTTPS (logs, or spans of answers).

Rules:
- The certificate of a receiver descends from the pinned CA. Without TLS a receiver is on loopback.
- Every wait has an end. An answer of a receiver is bounded and only its status is believed.
- `send` returns once the bytes are acknowledged: by an OTLP collector's answer, for a syslog
  receiver by TCP, since its protocol has no answer (RFC 5425).

Sources: RFC 5425, RFC 6587; OTLP 1.5, "OTLP/HTTP".
"""

import contextlib
import fcntl
import functools
import hashlib
import http.client
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from appliance.audit.reader import LogReader
from appliance.auth import certificates
from appliance.config import SPANS, ForwardConfig, NotifyConfig, PeerConfig
from appliance.forwarding.messages import OutgoingEntry, otlp_logs, syslog_frames

SECONDS: Final = 20.0
_LOOK_S: Final = 0.01
_ANSWER: Final = 1 << 16


class Receiver(Protocol):
    """One open connection."""

    acknowledges: bool
    """The receiver itself says what it has; else what was sent shortly before is sent again."""

    def send(self, messages: Sequence[OutgoingEntry]) -> None:
        """Deliver messages in order. Raises OSError; then some of them may have come."""

    def check(self) -> None:
        """Raise OSError where the other side has gone."""

    def close(self) -> None:
        """End the connection."""


def tls_of(config: ForwardConfig | NotifyConfig | PeerConfig, data: Path) -> ssl.SSLContext:
    """TLS to another host. Raises UsageError (`certificate_unusable`)."""
    return certificates.pinned(data, config.ca, config.certificate, config.key)


def open_receiver(
    config: ForwardConfig, enterprise: int, data: Path, reader: LogReader
) -> Receiver:
    """Connect.

    Args:
        enterprise: private enterprise number of the structured data.

    Raises:
        OSError: it does not answer, or its certificate is refused.
        UsageError: `certificate_unusable`.
    """
    parts = urlsplit(config.to)
    context = tls_of(config, data) if parts.scheme in ("tls", "https") else None
    host, origin = parts.hostname or "", reader.origin
    if parts.scheme in ("tls", "tcp"):
        return _Syslog(enterprise, origin, host, parts.port or 6514, context)
    if config.format == SPANS:
        from appliance.forwarding.spans import spans_of  # of a site that has traces

        return _Otlp(config.to, spans_of(reader), context)
    return _Otlp(config.to, functools.partial(otlp_logs, origin=origin), context)


class _Syslog:
    acknowledges = False

    def __init__(
        self,
        enterprise: int,
        origin: str,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
    ) -> None:
        self._enterprise, self._origin = enterprise, origin
        plain = socket.create_connection((host, port), SECONDS)
        try:
            self._socket = context.wrap_socket(plain, server_hostname=host) if context else plain
        except BaseException:
            plain.close()
            raise
        self._socket.settimeout(SECONDS)

    def send(self, messages: Sequence[OutgoingEntry]) -> None:
        self._socket.sendall(syslog_frames(messages, self._origin, self._enterprise))
        end = time.monotonic() + SECONDS
        while self._unacknowledged():
            self.check()  # a connection that was reset acknowledges nothing any more
            if time.monotonic() > end:
                raise TimeoutError("the receiver does not take what was sent")
            time.sleep(_LOOK_S)

    def check(self) -> None:
        """A receiver never answers: a readable connection has ended."""
        self._socket.setblocking(False)
        try:
            if not self._socket.recv(1):
                raise ConnectionError("the receiver closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        finally:
            self._socket.settimeout(SECONDS)

    def close(self) -> None:
        self._socket.close()

    def _unacknowledged(self) -> int:
        """Bytes that the other host has not acknowledged yet (tcp(7), SIOCOUTQ)."""
        found: bytes = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        return int(struct.unpack("i", found)[0])


class _Otlp:
    acknowledges = True

    def __init__(
        self,
        to: str,
        encode: Callable[[Sequence[OutgoingEntry]], bytes],
        context: ssl.SSLContext | None,
    ) -> None:
        self._to, self._encode, self._context = to, encode, context

    def send(self, messages: Sequence[OutgoingEntry]) -> None:
        if body := self._encode(messages):
            post(self._to, body, {"Content-Type": "application/json"}, self._context)

    def check(self) -> None:
        """The next request finds out."""

    def close(self) -> None:
        """Nothing is open between two requests."""


@dataclass(frozen=True)
class HttpAnswer:
    """The answer of another server."""

    status: int
    body: bytes


def post(url: str, body: bytes, head: Mapping[str, str], context: ssl.SSLContext | None) -> None:
    """Post a document and read the answer's status. Raises OSError where it is not 2xx."""
    with contextlib.closing(KeptConnection(lambda: context)) as connection:
        answer = connection.post(url, body, head)
    if answer.status // 100 != 2:
        raise ConnectionError(f"the other side answered {answer.status}")


class KeptConnection:
    """Stays open between requests to one server; for one thread.

    Args:
        context: TLS of the next connection.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext | None]) -> None:
        self._context, self._shown = context, ""
        self._kept: http.client.HTTPConnection | None = None

    def post(
        self,
        url: str,
        body: bytes,
        head: Mapping[str, str],
        *,
        most: int = _ANSWER,
        certificate: str = "",
    ) -> HttpAnswer:
        """Post a document and read the answer; again, once, where a kept connection had ended.

        Args:
            most: bytes of the answer that are read.
            certificate: hex SHA-256 of the only accepted certificate; "" for any of the CA.

        Raises:
            OSError: no answer, or another certificate.
        """

        def asked(connection: http.client.HTTPConnection) -> HttpAnswer:
            try:
                connection.request("POST", urlsplit(url).path or "/", body, dict(head))
                answer = connection.getresponse()
                found = HttpAnswer(answer.status, answer.read(most))
                # A closed one would connect again by itself, to whatever certificate.
                if answer.isclosed() and connection.sock is not None:
                    self._kept = connection
                return found
            except http.client.HTTPException as error:
                raise ConnectionError(f"no HTTP answer: {type(error).__name__}") from error
            finally:
                if self._kept is None:
                    connection.close()

        kept, self._kept = self._kept, None
        if kept is not None and certificate in ("", self._shown):
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                return asked(kept)
        elif kept is not None:
            kept.close()
        return asked(self._opened(url, certificate))

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _opened(self, url: str, certificate: str) -> http.client.HTTPConnection:
        parts, context = urlsplit(url), self._context()
        kind: Callable[..., http.client.HTTPConnection] = http.client.HTTPConnection
        if context is not None:
            kind = functools.partial(http.client.HTTPSConnection, context=context)
        made = kind(parts.hostname or "", parts.port, timeout=SECONDS)
        try:
            made.connect()
            self._shown = _shown(made.sock)
            if certificate and self._shown != certificate:
                raise ssl.SSLCertVerificationError("its certificate is not the one that is listed")
        except BaseException:
            made.close()
            raise
        return made


def _shown(connection: object) -> str:
    """Hex SHA-256 of the other side's certificate; "" without TLS."""
    if not isinstance(connection, ssl.SSLSocket):
        return ""
    return hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()
