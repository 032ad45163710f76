"""The program of the second half."""

import subprocess
import sys
from pathlib import Path

import msgspec

from appliance.audit.verification.second_process import Ahead
from tests.audit.logs import Intruder
from tests.audit.segmented import ROWS


def run(directory: Path, first: int, end: int) -> tuple[int, list[str]]:
    command = [sys.executable, "-I", "-m", "appliance.audit.verification.lookahead", str(directory)]
    key = (directory / "genesis.pub").read_text().strip()
    done = subprocess.run([*command, str(first), str(end), key], capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines()


def test_it_says_what_it_reached_and_nothing_else(three: Path) -> None:
    status, lines = run(three, ROWS + 1, 2 * ROWS + 4)
    assert status == 0
    found = msgspec.json.decode(lines[-1], type=Ahead)
    assert (found.begin.size, found.end.size) == (ROWS + 1, 2 * ROWS + 4)
    assert lines[:-1]


def test_anything_that_is_wrong_leaves_no_word(three: Path) -> None:
    there = Intruder(three, three / f"log-{ROWS:016d}.db")
    there.sql("UPDATE leaf SET hash = zeroblob(32) WHERE seq = 1500")
    status, lines = run(three, ROWS + 1, 2 * ROWS + 4)
    assert (status, [line for line in lines if not line.isdigit()]) == (1, [])
