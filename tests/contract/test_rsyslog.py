"""rsyslog from Debian as the receiver of the log: mutual TLS, killed again and again, no gap."""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.audit.reader import LogReader
from appliance.auth import certificates
from appliance.clock import SystemClock
from appliance.config import ForwardConfig
from appliance.db import open_database
from appliance.forwarding.cursors import TABLES, ForwardCursors
from appliance.forwarding.forwarder import Forwarder
from appliance.forwarding.receivers import open_receiver
from tests.audit.logs import ORIGIN, new_log, open_log
from tests.forwarding.receiving import Heap
from tests.forwarding.test_forwarder import Site, until
from tests.routing.upstreams.test_connection import client

RSYSLOGD = shutil.which("rsyslogd", path=os.environ.get("PATH", "") + ":/usr/sbin")
pytestmark = pytest.mark.skipif(RSYSLOGD is None, reason="rsyslogd is not installed")
_CONFIG = """\
global(workDirectory="{at}" DefaultNetstreamDriver="ossl"
  DefaultNetstreamDriverCAFile="{at}/mine/ca.pem"
  DefaultNetstreamDriverCertFile="{at}/tls/server.pem"
  DefaultNetstreamDriverKeyFile="{at}/tls/server.key" maxMessageSize="64k")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1"
  StreamDriver.AuthMode="x509/certvalid")
template(name="whole" type="string" string="%rawmsg%\\n")
input(type="imtcp" port="{port}" address="127.0.0.1" ruleset="kept")
ruleset(name="kept") {{ action(type="omfile" file="{at}/got" template="whole") }}
"""


@contextmanager
def rsyslog(at: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    assert RSYSLOGD is not None
    (at / "rsyslog.conf").write_text(_CONFIG.format(at=at, port=port))
    modules = next(Path(RSYSLOGD).parents[1].glob("lib/*/rsyslog"))
    command = list(
        map(str, [RSYSLOGD, "-n", "-f", at / "rsyslog.conf", "-i", "NONE", "-M", modules])
    )
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: _listens(port) or process.poll() is not None)
            yield process
        finally:
            process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def read(at: Path) -> Heap:
    heap = Heap()
    lines = (at / "got").read_bytes().splitlines() if (at / "got").exists() else []
    for line in lines:
        if b'leaf="' in line and line.rstrip().endswith(b"}"):
            heap.take(line)
    return heap


def test_kills_of_rsyslog_leave_no_gap(tmp_path: Path) -> None:
    certificates.issue(tmp_path / "tls", ["localhost"], SystemClock())
    client(tmp_path / "mine", days=9)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = ForwardConfig(
        to=f"tls://localhost:{port}", ca="tls/ca.pem", certificate="mine/c.pem", key="mine/c.key",
        overlap_seconds=5,
    )  # fmt: skip
    new_log(tmp_path / "log")
    database = open_database(tmp_path / "a.db", (TABLES,))
    reader = LogReader(tmp_path / "log")
    dice = random.Random(3)
    with open_log(tmp_path / "log") as log:
        site = Site(log, reader, ForwardCursors(database))
        one = Forwarder(
            "siem", config, reader, site.cursors, SystemClock(),
            lambda: open_receiver(config, 4711, tmp_path, ORIGIN),
        )  # fmt: skip
        one.start()
        for _ in range(10):
            with rsyslog(tmp_path, port) as process:
                site.write(dice.randrange(1, 20))
                time.sleep(dice.random())  # killed before, while and after it writes
                process.send_signal(signal.SIGKILL)
        with rsyslog(tmp_path, port):
            until(lambda: read(tmp_path).size == reader.size)
        one.stop()
    reader.close()
    database.dispose()
    assert read(tmp_path).wrong() == ""
