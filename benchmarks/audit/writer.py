"""Entries a second: the audit log against a bare synced INSERT, on a disk of fixed speed (G2, G3).

usage: python -m benchmarks.audit.writer DIRECTORY raw|CLIENTS SECONDS
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Final

import pysqlite3.dbapi2

from appliance.audit.log import AuditLog, Draft
from appliance.clock import SystemClock

SHIM: Final = Path(__file__).with_name("slow.c")
ENOUGH: Final = 1_000
PYMERKLE: Final = Path(__file__).with_name("pymerkle_side.py")
_TEXT: Final = os.urandom(1_500).hex().encode()


def ours(directory: Path, clients: int, seconds: float) -> dict[str, float]:
    """Intents with a text of 3,000 bytes, encrypted, each client waiting for its receipt."""
    AuditLog.create(directory, origin="bench.example/log", profile="lab", clock=SystemClock())
    waits: list[float] = []
    with AuditLog.open(directory, clock=SystemClock(), content="encrypted", reserve_bytes=0) as log:
        log.append(_intent("keys are made in advance")).result()
        end = time.perf_counter() + seconds
        threads = [threading.Thread(target=_client, args=(log, end, waits)) for _ in range(clients)]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.perf_counter() - begun
    return {"rows_s": len(waits) / took, "p50_ms": median(waits) * 1e3}


def _client(log: AuditLog, end: float, waits: list[float]) -> None:
    while (begun := time.perf_counter()) < end:
        log.append(_intent("r")).result()
        waits.append(time.perf_counter() - begun)


def _intent(request: str) -> Draft:
    fields = {"request_id": request, "key_id": "k1", "model": "m1", "ip": "10.0.0.1", "app": "erp"}
    return Draft("intent", dict(fields), {"prompt": _TEXT})


def raw(directory: Path, seconds: float) -> dict[str, float]:
    """One INSERT of 700 bytes per transaction, WAL and synchronous=FULL, no log around it."""
    directory.mkdir()
    database = pysqlite3.dbapi2.connect(str(directory / "raw.db"), isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL").fetchall()
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE r (seq INTEGER PRIMARY KEY, body BLOB) STRICT")
    body, rows = os.urandom(700), 0
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        database.execute("INSERT INTO r (body) VALUES (?)", (body,))
        rows += 1
    took = time.perf_counter() - begun
    database.close()
    return {"rows_s": rows / took, "p50_ms": took / rows * 1e3}


def shim(place: Path) -> Path:
    """Compile the preloaded library."""
    library = place / "slow.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SHIM, "-ldl"], check=True)
    return library


def measured(who: str, seconds: float, library: Path, sync_us: int) -> dict[str, float]:
    """One run in a process of its own, by `raw`, a number of clients, or pymerkle's interpreter."""
    with tempfile.TemporaryDirectory(dir=library.parent) as place:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "benchmarks.audit.writer",
            f"{place}/log",
        ]
        command += [who, str(seconds)]
        if "/" in who:
            command = [who, PYMERKLE, f"{place}/log", str(seconds)]
        slow = {**os.environ, "LD_PRELOAD": str(library), "SYNC_US": str(sync_us)}
        done = subprocess.run(command, env=slow, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def unsigned_after_kill(directory: Path) -> int:
    """Entries on disk that no head covers, after a writer with sixteen clients was killed."""
    command = [sys.executable, "-m", "benchmarks.audit.writer", str(directory), "16", "30"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as writer:
        while _entries(directory)[0] < ENOUGH:
            time.sleep(0.05)
        writer.kill()
    entries, covered = _entries(directory)
    return entries - covered


def _entries(directory: Path) -> tuple[int, int]:
    try:
        database = pysqlite3.dbapi2.connect(f"file:{directory}/log.db?mode=ro", uri=True)
        row = database.execute(
            "SELECT (SELECT max(seq) + 1 FROM leaf), (SELECT max(size) FROM checkpoint)"
        ).fetchone()
        database.close()
    except pysqlite3.dbapi2.Error:  # not made yet
        return 0, 0
    return int(row[0] or 0), int(row[1] or 0)


def main() -> None:
    """Print one measurement."""
    directory, who, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    found = raw(directory, seconds) if who == "raw" else ours(directory, int(who), seconds)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
