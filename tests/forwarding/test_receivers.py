"""Connections to receivers: the pinned authority alone, the client's certificate, OTLP answers."""

import http.server
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.audit.reader import LogReader
from appliance.auth import certificates
from appliance.clock import SystemClock
from appliance.config import ForwardConfig
from appliance.errors import UsageError
from appliance.forwarding.messages import outgoing
from appliance.forwarding.receivers import KeptConnection, open_receiver
from tests.audit.logs import ORIGIN, new_log
from tests.forwarding.receiving import Heap, sink
from tests.routing.upstreams.test_connection import client, server


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls")
    for name in ("a", "b"):
        certificates.issue(made / name, ["localhost"], SystemClock())
    client(made / "mine", days=9)
    new_log(made / "log")
    return made


def deliver(root: Path, *, until_refused: bool = False, **settings: Any) -> None:
    reader = LogReader(root / "log")
    try:
        receiver = open_receiver(ForwardConfig(**settings), 4711, root, reader)
        try:
            receiver.send(outgoing(reader.range(0, 9), ORIGIN, "cef"))
            receiver.check()
            while until_refused:
                receiver.check()
        finally:
            receiver.close()
    finally:
        reader.close()


def test_the_pinned_authority_and_no_other(root: Path) -> None:
    heap = Heap()
    with sink(heap, server(root / "a")) as made:
        to = f"tls://localhost:{made.port}"
        deliver(root, to=to, ca="a/ca.pem")
        with pytest.raises(ssl.SSLCertVerificationError):
            deliver(root, to=to, ca="b/ca.pem")
        with pytest.raises(ssl.SSLCertVerificationError):  # another name than the certificate's
            deliver(root, to=to.replace("localhost", "127.0.0.1"), ca="a/ca.pem")
    assert heap.size == 1


def test_the_client_certificate_is_shown(root: Path) -> None:
    heap = Heap()
    with sink(heap, server(root / "a", client_ca=root / "mine" / "ca.pem")) as made:
        to = f"tls://localhost:{made.port}"
        deliver(root, to=to, ca="a/ca.pem", certificate="mine/c.pem", key="mine/c.key")
        with pytest.raises(OSError):  # TLS 1.3 says so once the receiver has read
            deliver(root, until_refused=True, to=to, ca="a/ca.pem")
    assert heap.size == 1


def test_files_that_cannot_be_used(root: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        deliver(root, to="tls://localhost:9", ca="missing.pem")


@contextmanager
def collector(
    status: int,
    got: list[bytes],
    context: ssl.SSLContext | None = None,
    lives: Sequence[int] = (),
) -> Iterator[str]:
    """A collector.

    Args:
        lives: answers of each connection, which then ends without a word; one where it is empty.
    """
    left = list(lives)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1" if lives else "HTTP/1.0"

        def setup(self) -> None:
            self.answers = left.pop(0) if lives else 1
            super().setup()

        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.close_connection = self.answers <= 1
            if not self.answers:
                return
            self.answers -= 1
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        made.socket = context.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}/v1/logs"
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


def test_a_collector_that_takes_and_one_that_refuses(root: Path) -> None:
    got: list[bytes] = []
    with collector(200, got) as to:
        deliver(root, to=to)
    assert b"audit.seq" in got[0]
    with collector(503, got) as to, pytest.raises(ConnectionError, match="503"):
        deliver(root, to=to)


def test_the_only_certificate_that_is_listed(root: Path) -> None:
    got: list[bytes] = []
    with collector(200, got, server(root / "a")) as to:
        to = to.replace("http://127.0.0.1", "https://localhost")
        listed = certificates.fingerprint_of(root / "a" / "server.pem")
        with closing(kept(root)) as connection:
            answer = connection.post(to, b"{}", {}, most=1, certificate=listed)
            assert (answer.status, answer.body) == (200, b"{")
            with pytest.raises(ssl.SSLCertVerificationError, match="listed"):
                connection.post(to, b"{}", {}, certificate="ab" * 32)
    assert got == [b"{}"]  # nothing was sent to the other


def kept(root: Path) -> KeptConnection:
    return KeptConnection(lambda: certificates.pinned(root, "a/ca.pem", "", ""))


def test_a_kept_connection_that_had_ended_is_opened_again_once(root: Path) -> None:
    got: list[bytes] = []
    lives = [2, 1, 0, 9, 9]
    with collector(200, got, server(root / "a"), lives) as to, closing(kept(root)) as connection:
        to = to.replace("http://127.0.0.1", "https://localhost")
        for number in range(3):  # the third comes over the second connection
            assert connection.post(to, b"%d" % number, {}).body == b"{}"
        with pytest.raises(ConnectionError):  # the third connection is new, and answers nothing
            connection.post(to, b"lost", {})
        assert got == [b"0", b"1", b"2", b"lost"]
        listed = certificates.fingerprint_of(root / "a" / "server.pem")
        assert connection.post(to, b"3", {}).status == 200
        assert connection.post(to, b"4", {}, certificate=listed).status == 200
        with pytest.raises(ssl.SSLCertVerificationError):  # of a kept one, too
            connection.post(to, b"5", {}, certificate="ab" * 32)
        assert got[4:] == [b"3", b"4"]
