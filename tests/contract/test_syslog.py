"""rsyslog and syslog-ng of Debian as receivers: mutual TLS, killed again and again, no gap."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from tests.audit.logs import new_log, open_log
from tests.conftest import need_tool
from tests.forwarding.receiving import Heap
from tests.forwarding.test_forwarder import Site, until
from tests.ports import free_port
from tests.routing.upstreams.test_connection import client

RSYSLOG = """\
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
SYSLOG_NG = """\
@version: 3.35
options {{ log-msg-size(65536); stats(freq(0)); }};
source s {{ syslog(ip("127.0.0.1") port({port}) transport("tls") flags(store-raw-message)
  tls(key-file("{at}/tls/server.key") cert-file("{at}/tls/server.pem")
      ca-file("{at}/mine/ca.pem") peer-verify(required-trusted))); }};
destination d {{ file("{at}/got" template("${{RAWMSG}}\\n")); }};
log {{ source(s); destination(d); }};
"""


@dataclass(frozen=True)
class Daemon:
    program: str
    config: str
    modules: str
    arguments: str


DAEMONS = (
    Daemon("rsyslogd", RSYSLOG, "lib/*/rsyslog", "-n -f {at}/conf -i NONE -M {modules}"),
    Daemon(
        "syslog-ng",
        SYSLOG_NG,
        "lib/syslog-ng/[0-9]*",
        "--foreground --no-caps --module-path={modules} --cfgfile={at}/conf"
        " --persist-file={at}/persist --control={at}/control --pidfile={at}/pid",
    ),
)


@contextmanager
def running(daemon: Daemon, at: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    (at / "conf").write_text(daemon.config.format(at=at, port=port))
    program = Path(need_tool(daemon.program))
    (modules,) = program.parents[1].glob(daemon.modules)
    command = [str(program), *daemon.arguments.format(at=at, modules=modules).split()]
    libraries = {**os.environ, "LD_LIBRARY_PATH": str(modules.parent)}  # of a package unpacked
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=libraries) as process:
        try:
            until(lambda: _listens(port) or process.poll() is not None)
            assert process.poll() is None, "it did not start"
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


@pytest.mark.parametrize("daemon", DAEMONS, ids=lambda daemon: daemon.program)
def test_kills_of_a_receiver_leave_no_gap(tmp_path: Path, daemon: Daemon) -> None:
    certificates.issue(tmp_path / "tls", ["localhost"], SystemClock())
    client(tmp_path / "mine", days=9)
    port = free_port()
    config = ForwardConfig(
        to=f"tls://localhost:{port}", ca="tls/ca.pem", certificate="mine/c.pem", key="mine/c.key",
        overlap_seconds=60,
    )  # fmt: skip
    new_log(tmp_path / "log")
    database = open_database(tmp_path / "a.db", (TABLES,))
    reader = LogReader(tmp_path / "log")
    dice = random.Random(3)
    with open_log(tmp_path / "log") as log:
        site = Site(log, reader, ForwardCursors(database))
        one = Forwarder(
            "siem", config, reader, site.cursors, SystemClock(),
            lambda: open_receiver(config, 4711, tmp_path, reader),
        )  # fmt: skip
        one.start()
        for _ in range(10):
            with running(daemon, tmp_path, port) as process:
                site.write(dice.randrange(1, 20))
                time.sleep(dice.random())  # killed before, while and after it writes
                process.send_signal(signal.SIGKILL)
        with running(daemon, tmp_path, port):
            until(lambda: read(tmp_path).size == reader.size)
        one.stop()
    reader.close()
    database.dispose()
    assert read(tmp_path).wrong() == ""
