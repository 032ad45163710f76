"""Killed anywhere, an appliance serves a version whose certificate holds, and never none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT


@pytest.mark.parametrize(
    "kills",
    [8, pytest.param(1_000, marks=[pytest.mark.slow, pytest.mark.timeout(3_600)])],
)
def test_a_kill_anywhere_leaves_one_certified_version_live(tmp_path: Path, kills: int) -> None:
    command = [sys.executable, "-m", "tests.system.version_kills", str(tmp_path), str(kills), "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sum(found["found"].values()) == kills
    if kills > 100:
        sys.stdout.write(done.stdout)
        assert len(found["found"]) >= 3  # the deaths came in different steps
