"""Engine hosts at the end of cables: an answer crosses, and cables are pulled out."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT, need_tool
from tests.routing.upstreams.apart import namespace

pytestmark = pytest.mark.slow
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_CABLE = ("ip", "link", "add", "name", "front1", "type", "veth", "peer", "name", "engine1")


def alone() -> list[str]:
    for tool in ("ip", "nsenter"):
        need_tool(tool)
    rights = [] if os.geteuid() == 0 else ["-r"]
    found = [need_tool("unshare"), *rights, "-n", "-p", "-f", "--kill-child", "--mount-proc"]
    tried = subprocess.run(
        [*found, *_CABLE], capture_output=True, text=True, check=False, env={"PATH": PATH}
    )
    if tried.returncode:
        pytest.skip(f"network namespaces are not permitted here: {tried.stderr.strip()}")
    return found


def in_use() -> set[str]:
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.add(namespace(place.name))
    return found


def test_cables_of_engine_hosts_are_pulled_out(tmp_path: Path, default_model_path: Path) -> None:
    program = [*alone(), sys.executable, "-m", "tests.routing.upstreams.apart"]
    with socket.create_server(("127.0.0.1", 0)) as outside:
        socket.create_connection(outside.getsockname()).close()  # from here it is reached
        done = subprocess.run(
            [*program, tmp_path, default_model_path, str(outside.getsockname()[1])],
            capture_output=True, text=True, check=False, cwd=CHECKOUT, timeout=280,
            env={**os.environ, "PATH": PATH},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    crossed, elsewhere, cut = found["crossed"], found["elsewhere"], found["cut"]
    near = crossed["hops"][0][0]
    (other,) = {hop[0] for hop in elsewhere["hops"]} - {near}
    assert crossed["text"] and crossed["hops"] == [[near, "sent", ""], [near, "answered", ""]]
    # Nothing says no: the connection is given up after `connect_ms`, and the next host is asked.
    assert elsewhere["text"] == crossed["text"]
    assert elsewhere["hops"] == [
        [near, "sent", ""], [near, "refused", "upstream_unavailable"],
        [other, "sent", ""], [other, "answered", ""],
    ]  # fmt: skip
    # What was sent ends after `idle_seconds` and is not sent again.
    assert cut["text"] and cut["code"] == "upstream_timeout"
    assert cut["hops"] == [[near, "sent", ""], [near, "failed", "upstream_timeout"]]
    assert found["nowhere"]["code"] == "upstream_unavailable" and not found["nowhere"]["text"]
    assert found["problem"].startswith("upstream_unavailable") and "refused" not in found["problem"]
    assert found["again"] == crossed
    assert sorted(found["routes"]) == ["10.87.1.0/30", "10.87.2.0/30"]
    reached = {where for where, why in found["reached"].items() if not why}
    assert reached == {"10.87.1.2", "10.87.2.2"}
    assert found["outside"] == "ECONNREFUSED"
    assert not set(found["namespaces"]) & in_use()
