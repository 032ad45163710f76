"""A server whose disk is short when it starts: it starts, says why it refuses, and recovers."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from appliance.app import initialise
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.audit.verification.verify import verify_log
from tests.audit.disks import fill, mounted
from tests.cli.conftest import run_command

pytestmark = pytest.mark.durable

MIB = 1 << 20
SETTINGS = "\n[server]\nport = 0\n[audit]\nreserve_mib = 16\n[models.default]\nn_ctx = 512\n"
QUESTION = {
    "model": "demo",
    "messages": [{"role": "user", "content": "Hi"}],
    "max_tokens": 2,
}


@contextlib.contextmanager
def server(data: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "serve", "--data", data],
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stderr is not None
            said = []
            for line in process.stderr:
                said.append(line)
                if "listening on " in line:
                    break
            else:
                raise AssertionError(f"it ended: {said}")
            yield line.split("listening on ")[1].split()[0]
        finally:
            process.terminate()
            process.communicate()
    assert process.returncode == 0


def until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.1)


@pytest.mark.parametrize("left", [8 * MIB, 0], ids=["below the reserve", "full"])
def test_it_starts_refuses_with_the_reason_and_goes_on_by_itself(
    tmp_path: Path, narrow_path: Path, left: int
) -> None:
    with mounted(tmp_path / "disk", "tmpfs", 320) as disk:
        data = disk / "data"
        initialise(data, "lab")
        (data / "appliance.toml").write_text(SETTINGS)
        assert run_command("model", "demo", "--from", narrow_path, data=data).status == 0
        model = run_command("model", "list", "--json", data=data).document["models"][0]["id"]
        secret = run_command("key", "create", "app", "--json", data=data).document["secret"]
        filler = fill(disk, left)
        with server(data) as url:
            headers = {"authorization": f"Bearer {secret}"}
            with httpx.Client(base_url=url, headers=headers, timeout=60) as client:

                def ask() -> httpx.Response:
                    return client.post("/v1/chat/completions", json={**QUESTION, "model": model})

                refused = ask()
                assert refused.status_code == 503
                error = refused.json()["error"]
                assert error["code"] == "audit_unavailable"
                assert "MiB are free under the audit log" in error["message"]
                assert client.get("/healthz").status_code == 200
                assert client.get("/readyz").json()["error"]["code"] == "audit_unavailable"
                status = run_command("status", "--json", data=data).document
                assert status["state"] == "refusing"
                assert "MiB are free" in status["audit"]["latched"]
                filler.unlink()
                until(lambda: client.get("/readyz").status_code == 200)
                assert ask().status_code == 200
                status = run_command("status", "--json", data=data).document
                assert status["state"] == "serving"
        assert verify_log(data / "audit").ok
        kinds = [e.kind for e in LogReader(data / "audit").search(Query(limit=500)).entries]
        assert kinds.index("start") < kinds.index("intent")
        assert kinds[-1] == "stop"
