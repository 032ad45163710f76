"""The parser of requests, which takes no offer of another protocol.

Rule: a request that offers one (`Upgrade: h2c` of curl and of Java, a web socket) is read as the
same request without the offer, body and all (RFC 9110, 7.8); httptools by itself would take what
follows the head for the other protocol.
"""

from typing import Any, Final, Protocol

import httptools

_OFFERS: Final = frozenset({b"upgrade", b"http2-settings"})


class Declining(Protocol):
    """Target of the parser's callbacks; it holds a request with an offer back."""

    def declined(self) -> bytes:
        """The head of the request that was held back, without the offer; empty if none was."""
        ...


class RequestParser:
    """httptools' parser of requests, restarted after each offer."""

    def __init__(self, protocol: Declining) -> None:
        self._protocol = protocol
        self._parser = self._fresh()

    def _fresh(self) -> Any:
        parser = httptools.HttpRequestParser(self._protocol)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        return parser

    def feed_data(self, data: bytes) -> None:
        """Raises HttpParserError for what is no HTTP."""
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                head = self._protocol.declined()
                if not head:
                    return
                data = head + data[offer.args[0] :]
                self._parser = self._fresh()
            else:
                return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


def without_offer(
    method: bytes, url: bytes, version: str, headers: list[tuple[bytes, bytes]]
) -> bytes:
    """The head of a request without its offer of another protocol.

    Args:
        headers: names in small letters; no value has a line break.
    """
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    for name, value in headers:
        if name == b"connection":
            tokens = [token.strip() for token in value.split(b",")]
            value = b", ".join(token for token in tokens if token.lower() not in _OFFERS)
        if name not in _OFFERS and not (name == b"connection" and not value):
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + b"\r\n\r\n"
