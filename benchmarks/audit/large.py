"""A log of any size in minutes: real bodies, keys, heads and indexes, without texts.

Rules: every byte is what the writer would have stored (`verify` finds nothing), but rows go in by
the thousand, unsynced, and indexes are built at the end.
"""

import sys
from pathlib import Path

import pysqlite3.dbapi2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.checkpoint import Checkpoint, sign
from appliance.audit.entry import decode, encode
from appliance.audit.files import LogFiles, private_pem, read_private
from appliance.audit.handover import fields
from appliance.audit.log import AuditLog
from appliance.audit.merkle import Frontier, leaf_hash
from appliance.audit.tables import SPAN
from appliance.clock import FixedClock

ORIGIN = "appliance.example/audit/large"
BASE_US = 1_764_000_000_000_000
STEP_US = 3_153_600
"""Ten million entries in a year."""
EPOCH = 10_000
COMMIT = 50
APPS, MODELS = 40, 8
CODES = ("worker_lost", "shutting_down", "key_quarantined", "output_invalid")

_INTENT = (
    '{"app":"app-%(app)02d","boot_id":"2f6a1c9e-0d53-4a58-9d0e-5a7b6c3d2e1f",'
    '"content":{"mode":"off"},"digest":"' + "ab" * 32 + '","engine":"llama.cpp 0.3.36 avx2",'
    '"epoch":%(epoch)d,"ip":"10.1.2.%(app)d","key_id":"key-%(app)02d","kind":"intent",'
    '"model":"model-%(model)d","mono_us":%(mono)d,"params":{"best_of":1,"constraint":null,'
    '"echo":false,"frequency_penalty":"0.0","ignore_eos":false,"logit_bias":0,"logprobs":null,'
    '"max_tokens":512,"min_p":"0.0","min_tokens":0,"n":1,"presence_penalty":"0.0",'
    '"repetition_penalty":"1.0","seed":"%(seed)d","stop":0,"temperature":"0.7","tools":null,'
    '"top_k":40,"top_p":"0.95","typical_p":"1.0"},"policy":3,"prev":"%(prev)s",'
    '"prompt_tokens":812,"request_id":"req-%(request)012d","retry":0,'
    '"route":"/v1/chat/completions","seq":%(seq)d,"template":"' + "cd" * 32 + '",'
    '"time_us":%(time)d,"v":1}'
)
_OUTCOME = (
    '{"app":"app-%(app)02d","boot_id":"2f6a1c9e-0d53-4a58-9d0e-5a7b6c3d2e1f","bytes":1832,'
    '"completion_tokens":233,"content":{"mode":"off"},"duration_us":2711000,"epoch":%(epoch)d,'
    '"finish":"%(finish)s","intent":%(intent)d,"key_id":"key-%(app)02d","kind":"outcome",'
    '"model":"model-%(model)d","mono_us":%(mono)d,"prev":"%(prev)s","prompt_tokens":812,'
    '"queued_us":120,"request_id":"req-%(request)012d","seq":%(seq)d,"status":"%(status)s",'
    '"time_us":%(time)d,"ttft_us":210000,"v":1}'
)


def build(directory: Path, rows: int) -> Path:
    """About so many entries, open epochs and all."""
    AuditLog.create(directory, origin=ORIGIN, profile="lab", clock=FixedClock())
    files = LogFiles(directory)
    database = pysqlite3.dbapi2.connect(str(files.segment(0)), isolation_level=None)
    for pragma in ("synchronous = OFF", "journal_mode = OFF", "cache_size = -200000"):
        database.execute(f"PRAGMA {pragma}").fetchall()
    indexes = database.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        database.execute(f"DROP INDEX {name}")
    _fill(database, files, rows)
    for _, sql in indexes:
        database.execute(sql)
    database.execute("PRAGMA journal_mode = WAL").fetchall()
    database.close()
    return directory


def _fill(database: "pysqlite3.dbapi2.Connection", files: LogFiles, rows: int) -> None:
    ((prev, body),) = database.execute("SELECT hash, body FROM leaf").fetchall()
    key, epoch, seq = read_private(files.signing), 0, 1
    frontier = Frontier()
    frontier.append(leaf_hash(body))
    mono = int(decode(body)["mono_us"])  # type: ignore[arg-type]
    leaves: list[tuple[int, bytes, bytes, bytes]] = []
    nodes: list[tuple[int, int, bytes]] = []
    heads: list[tuple[int, bytes]] = []
    said = {"prev": "", "epoch": 0}

    def add(raw: bytes) -> None:
        nonlocal prev, seq
        leaf = leaf_hash(raw)
        leaves.append((seq, prev, leaf, raw))
        nodes.extend(frontier.append(leaf))
        prev, seq = leaf, seq + 1

    while seq < rows:
        request = seq // 2
        mixed = request * 2_654_435_761 & 0xFFFFFFFF
        said = {
            "app": mixed % APPS, "model": mixed // APPS % MODELS, "request": request,
            "epoch": epoch, "seed": mixed, "time": BASE_US + seq * STEP_US, "mono": mono + seq * 9,
            "intent": seq,
        }  # fmt: skip
        odd = mixed % 499 == 0
        said["finish"] = CODES[mixed // 499 % 4] if odd else "stop"
        said["status"] = "error" if odd else "ok"
        add((_INTENT % {**said, "prev": prev.hex(), "seq": seq}).encode())
        add((_OUTCOME % {**said, "prev": prev.hex(), "seq": seq}).encode())
        if seq + 1 - epoch * EPOCH >= EPOCH:
            following = Ed25519PrivateKey.generate()
            handed = fields(ORIGIN, epoch, seq + 1, key, following)
            kept = decode(leaves[-1][3])
            names = ("boot_id", "time_us", "mono_us", "v")
            add(encode({
                **{name: kept[name] for name in names}, **handed, "kind": "key_handover",
                "seq": seq, "prev": prev.hex(), "epoch": epoch, "reason": "rows",
            }))  # fmt: skip
            head = Checkpoint(ORIGIN, frontier.size, frontier.root())
            heads.append((head.size, sign(head, key, following)))
            key, epoch = following, epoch + 1
        elif len(leaves) % COMMIT == 0 or seq >= rows:
            head = Checkpoint(ORIGIN, frontier.size, frontier.root())
            heads.append((head.size, sign(head, key)))
        if len(leaves) >= 10_000 or seq >= rows:
            database.execute("BEGIN")
            database.executemany("INSERT INTO leaf VALUES (?, ?, ?, ?)", leaves)
            database.executemany("INSERT INTO node VALUES (?, ?, ?)", nodes)
            database.executemany("INSERT INTO checkpoint VALUES (?, ?)", heads)
            database.execute("COMMIT")
            for stored in (leaves, nodes, heads):
                stored.clear()
            if sys.stderr.isatty():
                print(f"\r{seq} of {rows} entries", end="", file=sys.stderr)
    database.execute(
        "INSERT INTO span SELECT seq / ?1, min(time_us), max(time_us) FROM leaf "
        "GROUP BY seq / ?1 HAVING count(*) = ?1", (SPAN,),
    )  # fmt: skip
    (note,) = database.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
    files.head.write_bytes(note)
    files.signing.write_bytes(private_pem(key))
