"""The head of a request without its offer, and the parser that starts again behind it."""

import pytest

from appliance.server.parser import RequestParser, without_offer

HEAD = b"POST /x HTTP/1.1\r\nhost: a\r\n"


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ([(b"upgrade", b"h2c"), (b"connection", b"Upgrade, HTTP2-Settings")], b""),
        ([(b"connection", b"keep-alive, upgrade")], b"connection: keep-alive\r\n"),
        ([(b"connection", b"close")], b"connection: close\r\n"),
        ([(b"http2-settings", b"AA"), (b"x-upgrade", b"1")], b"x-upgrade: 1\r\n"),
    ],
)
def test_a_head_without_its_offer(headers: list[tuple[bytes, bytes]], left: bytes) -> None:
    head = without_offer(b"POST", b"/x", "1.1", [(b"host", b"a"), *headers])
    assert head == HEAD + left + b"\r\n"


class Reader:
    def __init__(self) -> None:
        self.parser = RequestParser(self)
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.offers = self.ended = 0

    def on_message_begin(self) -> None:
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ended += not self.parser.should_upgrade()

    def declined(self) -> bytes:
        self.offers += 1
        return without_offer(self.parser.get_method(), b"/x", "1.1", self.headers)


def test_the_body_behind_an_offer_is_parsed() -> None:
    reader = Reader()
    offer = b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\n"
    reader.parser.feed_data(HEAD + offer + b"ab")
    reader.parser.feed_data(b"c")
    assert (reader.offers, reader.ended, reader.body) == (1, 1, b"abc")
    assert not reader.parser.should_upgrade()
