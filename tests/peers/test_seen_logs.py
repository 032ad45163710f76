"""A witness's records survive a restart."""

from pathlib import Path

from appliance.audit.checkpoint import COSIGNATURES, VerifierKey
from appliance.audit.handover import Epoch
from appliance.db import open_database
from appliance.peers.cosigning import SeenLog
from appliance.peers.seen_logs import TABLES, CosignedHead, SeenLogs

LOG = VerifierKey("a.example/audit", bytes(range(32)))
WITNESS = VerifierKey("b.example/witness", bytes(range(32)), COSIGNATURES)


def test_both_tables_keep_the_newest(tmp_path: Path) -> None:
    database = open_database(tmp_path / "appliance.db", (TABLES,))
    logs = SeenLogs(database)
    assert logs.seen(LOG) == (SeenLog.first(LOG), 0)
    assert logs.cosigned(WITNESS) == CosignedHead()
    seen = SeenLog.first(LOG)
    for size in (5, 9):
        seen = SeenLog(Epoch(2, 4, VerifierKey(LOG.name, bytes(32))), size, bytes([size]) * 32)
        logs.see(LOG, seen, size)
        logs.take(WITNESS, CosignedHead(size, 4, 7))
    database.dispose()
    again = SeenLogs(open_database(tmp_path / "appliance.db", (TABLES,)))
    assert again.seen(LOG) == (seen, 9)
    assert again.cosigned(WITNESS) == CosignedHead(9, 4, 7)
