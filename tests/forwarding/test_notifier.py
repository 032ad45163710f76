"""Messages that arrive: a real HTTP server, a real SMTP conversation."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.config import NotifyConfig
from appliance.forwarding.notifier import Notifier
from appliance.incidents.history import Look
from appliance.incidents.rules import Alarm
from tests.audit.logs import ORIGIN
from tests.forwarding.test_forwarder import until
from tests.forwarding.test_receivers import collector

ALARM = Alarm("disk_low", "warning", "", "900 MiB\r\nBcc: x@y", "Free some.", 0, 7)
BEGAN = Look((ALARM,), (ALARM,), ())


@contextmanager
def relay(got: list[str]) -> Iterator[str]:
    """An SMTP relay that takes everything (RFC 5321)."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            def say(text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

            say("220 relay")
            while line := self.rfile.readline().decode().strip():
                if line.upper() == "DATA":
                    say("354 go on")
                    lines = iter(self.rfile.readline, b".\r\n")
                    got.append(b"".join(lines).decode())
                ends = line.upper() == "QUIT"
                say("221 bye" if ends else "250 ok")
                if ends:
                    return

    made = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"smtp://127.0.0.1:{made.server_address[1]}"
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


def told(config: NotifyConfig, data: Path, done: Callable[[], bool]) -> Notifier:
    notifier = Notifier({"duty": config}, data, ORIGIN)
    notifier.start()
    notifier.tell(BEGAN, 1)
    try:
        until(lambda: done() or bool(notifier.problems))
    finally:
        notifier.stop()
    return notifier


def test_a_webhook_gets_the_incident_and_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    got: list[bytes] = []
    with collector(200, got) as to:
        config = NotifyConfig(to=to, token="token")
        assert told(config, tmp_path, lambda: bool(got)).problems == {}
    (one,) = json.loads(got[0])["began"]
    assert (one["code"], one["id"], one["next"]) == ("disk_low", 7, "Free some.")


def test_mail_goes_through_the_relay_and_no_line_is_smuggled_in(tmp_path: Path) -> None:
    got: list[str] = []
    with relay(got) as to:
        config = NotifyConfig(to=to, mail_from="appliance@site", mail_to=("duty@site", "b@site"))
        assert told(config, tmp_path, lambda: bool(got)).problems == {}
    head, _, body = got[0].partition("\r\n\r\n")
    assert "To: duty@site, b@site" in head and "disk_low" in head and "Bcc" not in head
    assert "next: Free some." in body


def test_a_destination_that_refuses_is_a_problem_until_it_takes_one(tmp_path: Path) -> None:
    got: list[bytes] = []
    with collector(500, got) as to:
        found = told(NotifyConfig(to=to), tmp_path, lambda: False)
    assert "500" in found.problems["duty"]


def test_without_a_destination_no_thread_runs(tmp_path: Path) -> None:
    before = threading.active_count()
    notifier = Notifier({}, tmp_path, ORIGIN)
    notifier.start()
    notifier.tell(BEGAN, 1)
    assert threading.active_count() == before
    notifier.stop()
