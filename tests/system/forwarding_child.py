"""A forwarder in a process of its own, which a test may kill at any moment."""

import threading
from pathlib import Path

from appliance.audit.reader import LogReader
from appliance.clock import SystemClock
from appliance.config import ForwardConfig
from appliance.db import open_database
from appliance.forwarding import forwarder
from appliance.forwarding.cursors import TABLES, ForwardCursors
from appliance.forwarding.receivers import open_receiver


def forward(root: Path, config: ForwardConfig) -> None:
    forwarder._FIRST_S, forwarder._MOST_S, forwarder._IDLE_S = 0.01, 0.02, 0.005  # type: ignore[misc]
    reader = LogReader(root / "log")
    one = forwarder.Forwarder(
        "siem",
        config,
        reader,
        ForwardCursors(open_database(root / "a.db", (TABLES,))),
        SystemClock(),
        lambda: open_receiver(config, 4711, root, reader),
    )
    one.start()
    threading.Event().wait()
