"""Three appliances behind HAProxy: killed under load, cut off one way and both, and put back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT, need_tool
from tests.peers.cables import TOKENS
from tests.peers.site_servers import HAPROXY
from tests.routing.upstreams.test_apart import PATH, alone

KILLS = int(os.environ.get("SITE_KILLS", "1"))
"""20 for the whole of it (`cables.WHOLE`)."""
PATIENCE_S = 300 + 60 * KILLS

pytestmark = [
    pytest.mark.model,
    pytest.mark.long,
    pytest.mark.executed,
    pytest.mark.timeout(PATIENCE_S),
    pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed"),
]


def test_nothing_acknowledged_is_lost(tmp_path: Path, narrow_path: Path) -> None:
    need_tool("tc")
    program = [*alone(), sys.executable, "-m", "tests.peers.cables"]
    done = subprocess.run(
        [*program, tmp_path, narrow_path, str(KILLS)],
        capture_output=True, text=True, check=False, cwd=CHECKOUT, timeout=PATIENCE_S - 20,
        env={**os.environ, "PATH": PATH},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    print(json.dumps(found, indent=1))  # noqa: T201 - its times are told, not asserted
    assert found["acknowledged"] > 100 * KILLS
    assert found["lost"] == [] and found["unmirrored"] == [] and found["asked twice"] == []
    assert found["canary"] == []
    assert found["receipt"] == {"mirrored": "yes", "problem": "", "site": None}
    assert len(found["kills"]) == KILLS
    limited = found["limited"]
    assert limited["least"] > 0
    assert limited["used"] <= 1.1 * TOKENS * limited["minutes"]
    for told in found["pulled"].values():
        assert told["answered"] >= 20
        assert told["alarm"]
    for told in (found["loss"], found["delay"]):
        assert told.get("skipped") or told["answered"] >= 20
