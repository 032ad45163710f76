"""A batch of a real model whose server and whose engine are killed: each line is answered once, by
one request with a receipt that verifies.
"""

import json
import os
import random
import signal
import time
from itertools import chain
from typing import Any

import httpx
import pytest

from appliance.audit.proof import check_proof
from appliance.audit.reader import LogReader
from appliance.audit.search import Query
from appliance.batches.lines import line_of
from appliance.client import AdminClient, socket_path
from appliance.wire.admin.models import STATUS
from tests.smol import ID
from tests.system.conftest import Server

pytestmark = pytest.mark.xdist_group("the servers of tests/system")

LINES = 40
CHAT = "/v1/chat/completions"


def begun(client: httpx.Client) -> str:
    """A batch of lines that run for long enough to be interrupted."""
    body = {
        "model": ID, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 12,
        "ignore_eos": True,
    }  # fmt: skip
    lines = (
        json.dumps({"custom_id": f"line {n}", "method": "POST", "url": CHAT, "body": body})
        for n in range(LINES)
    )
    sent = client.post(
        "/files", files={"file": ("lines.jsonl", "\n".join(lines))}, data={"purpose": "batch"}
    )
    wanted = {
        "input_file_id": sent.json()["id"], "endpoint": CHAT, "completion_window": "24h",
    }  # fmt: skip
    return str(client.post("/batches", json=wanted).json()["id"])


def done(found: dict[str, Any]) -> int:
    counts = found["request_counts"]
    return int(counts["completed"] + counts["failed"])


def until(server: Server, batch: str, answered: int) -> dict[str, Any]:
    """The batch once so many of its lines have an answer, or once it ended."""
    with server.client() as client:
        while True:
            found: dict[str, Any] = client.get(f"/batches/{batch}").json()
            if found["status"] in ("completed", "failed") or done(found) >= answered:
                return found
            time.sleep(0.005)


def kill_engine(server: Server) -> None:
    with AdminClient(socket_path(server.data)) as client:
        (worker,) = client.call(STATUS).workers
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)


def kill_server(server: Server) -> None:
    server.end(signal.SIGKILL)
    server.start()


def met(server: Server, batch: str) -> bool:
    """Check a batch that ended; true if a server and an engine were killed with lines under way."""
    found, genesis = until(server, batch, LINES + 1), server.data / "audit" / "genesis.pub"
    assert found["status"] == "completed"
    files = [name for name in (found["output_file_id"], found["error_file_id"]) if name]
    with server.client() as client:
        texts = [client.get(f"/files/{name}/content").text.splitlines() for name in files]
        rows = [json.loads(text) for text in chain(*texts)]
        assert sorted(row["custom_id"] for row in rows) == sorted(f"line {n}" for n in range(LINES))
        before = [name for row in rows for name in row["x_appliance"]["begun_before"]]
        told = {row["response"]["request_id"]: row for row in rows}
        for name in (*told, *before):
            receipt = client.get(f"/receipts/{name}")
            assert receipt.status_code == httpx.codes.OK, (receipt.text, told.get(name))
            proved = check_proof(receipt.json()["proof"].encode(), genesis.read_bytes())
            assert (proved.body["kind"], proved.body["request_id"]) == ("outcome", name)
            if name in told:
                ok = told[name]["response"]["status_code"] == httpx.codes.OK
                assert (proved.body["status"] == "ok") == ok
                assert told[name]["x_appliance"]["receipt"].split()[0] == str(proved.seq)
    lost = [row for row in rows if row["response"]["status_code"] != httpx.codes.OK]
    assert {row["response"]["body"]["error"]["code"] for row in lost} <= {"worker_lost"}
    reader = LogReader(server.data / "audit")
    for kind in ("intent", "outcome"):
        entries = reader.search(Query(kind=kind, newest_first=True, limit=1_000)).entries
        names = [str(entry.body["request_id"]) for entry in entries]
        of_batch = [name for name in names if (line_of(name) or ("", 0))[0] == batch]
        assert sorted(of_batch) == sorted([*told, *before])
    return bool(before) and bool(lost)


@pytest.mark.swept
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", range(34))
def test_each_line_has_one_answer_and_one_receipt_whatever_is_killed(
    live_server: Server, seed: int
) -> None:
    """Again where a kill met no line. Two deaths of the engine of one server would keep the key
    away from the model.
    """
    draw, ended = random.Random(seed), False
    while not ended:
        with live_server.client() as client:
            batch = begun(client)
        for kill in (kill_server, kill_engine, kill_server):
            before = done(until(live_server, batch, 0))
            until(live_server, batch, before + draw.randrange(1, 8))
            kill(live_server)
        ended = met(live_server, batch)
    live_server.command("audit", "verify")
