"""kill -9 at random points: what was acknowledged is there, the log verifies, nothing stays open.

This shows safety against the end of the process. Loss of power needs other means.
"""

import random
import subprocess
import sys
from pathlib import Path

import pysqlite3.dbapi2

from appliance.audit.reader import LogReader
from appliance.audit.verify import verify_log
from tests.audit.logs import new_log, open_log

CHECKOUT = Path(__file__).parents[2]
KILLS = 20


def run_and_kill(directory: Path, mode: str, lines: int) -> list[tuple[int, str]]:
    """Start an appender, kill it after it said so many lines; everything that it said."""
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
    assert reader.search(kind="outcome", limit=1_000)
    unknown = [
        e for e in reader.search(kind="outcome", limit=1_000) if e.body["status"] == "unknown"
    ]
    assert unknown
    # Keys made in advance and not used did not outlive the crash.
    assert count(directory / "keys.db", "dek") == named_keys(directory)


def test_control_an_acknowledgement_before_the_commit_is_caught(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    promised = run_and_kill(directory, "early", 300)
    with open_log(directory):
        kept = {e.seq for e in LogReader(directory).search(kind="intent", limit=1_000)}
    assert {seq for seq, _ in promised} - kept


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
