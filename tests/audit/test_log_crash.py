"""kill -9 at random points: acknowledged entries are there, the log verifies, nothing stays open.

Against loss of power it shows only that a disk sync comes before each receipt.
"""

import itertools
import random
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pysqlite3.dbapi2
import pytest

from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.verification.verify import verify_log
from tests.audit.logs import new_log, open_log
from tests.conftest import need_tool

pytestmark = [pytest.mark.long, pytest.mark.durable]

CHECKOUT = Path(__file__).parents[2]
KILLS = 20


def run_and_kill(directory: Path, mode: str, lines: int) -> list[tuple[int, str]]:
    command = [sys.executable, "-m", "tests.audit.appender", str(directory), mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.kill()
        said += child.stdout.readlines()
    whole = [line.split() for line in said if line.endswith("\n")]
    return [(int(seq), leaf) for seq, leaf in whole]


def test_twenty_kills_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    dice = random.Random(7)
    promised: list[tuple[int, str]] = []
    for _ in range(KILLS):
        promised += run_and_kill(directory, "honest", dice.randrange(1, 200))
        open_log(directory).close()
        report = verify_log(directory)
        assert report.ok, report.problems
        assert report.open_intents == 0
    reader = LogReader(directory)
    assert len(promised) >= KILLS
    assert [reader.entry(seq).leaf.hex() for seq, _ in promised] == [leaf for _, leaf in promised]
    assert reader.search(Query(kind="outcome", limit=1_000)).entries
    unknown = [
        e
        for e in reader.search(Query(kind="outcome", limit=1_000)).entries
        if e.body["status"] == "unknown"
    ]
    assert unknown
    # Keys made in advance and not used did not outlive the crash.
    assert count(directory / "keys.db", "dek") == named_keys(directory)


def test_control_an_acknowledgement_before_the_commit_is_caught(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    promised = run_and_kill(directory, "early", 300)
    with open_log(directory):
        kept = {
            e.seq for e in LogReader(directory).search(Query(kind="intent", limit=1_000)).entries
        }
    assert {seq for seq, _ in promised} - kept


def syncs_before_each_promise(directory: Path, mode: str) -> list[int]:
    """Disk syncs between each printed receipt and the next."""
    trace = directory.with_suffix(".trace")
    appender = [sys.executable, "-m", "tests.audit.appender", str(directory), mode]
    strace = [need_tool("strace"), "-f", "-e", "trace=fsync,fdatasync,write", "-o", str(trace)]
    subprocess.run([*strace, *appender], stdout=subprocess.DEVNULL, check=True, cwd=CHECKOUT)
    lines = trace.read_text(encoding="utf-8").splitlines()
    said = [n for n, line in enumerate(lines) if re.search(r'write\(1, "(begin|\d+ )', line)]
    synced = [bool(re.search(r"(fsync|fdatasync)\(\d+\) *= 0|sync resumed.*= 0", x)) for x in lines]
    return [sum(synced[a:b]) for a, b in itertools.pairwise(said)]


def test_a_disk_sync_comes_before_each_receipt_and_mostly_one(tmp_path: Path) -> None:
    syncs = syncs_before_each_promise(new_log(tmp_path / "log"), "twenty")
    assert len(syncs) == 20
    assert min(syncs) == 1
    assert statistics.median(syncs) == 1  # HEAD is synced too, once a second


def test_control_without_syncs_the_trace_shows_it(tmp_path: Path) -> None:
    assert 0 in syncs_before_each_promise(new_log(tmp_path / "log"), "unsynced")


def count(path: Path, table: str) -> int:
    database = pysqlite3.dbapi2.connect(str(path))
    try:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        database.close()


def named_keys(directory: Path) -> int:
    database = pysqlite3.dbapi2.connect(str(directory / "log.db"))
    try:
        return int(database.execute("SELECT count(dek) FROM leaf").fetchone()[0])
    finally:
        database.close()
