"""A backup without models, restored on another host: nothing claims to be ready until they are
brought, and the same artifact under the same id makes it whole.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from appliance.app import open_services
from installer.host import answers, backup
from tests.cli.conftest import run_command
from tests.installer.host.test_backup import host, quiet
from tests.smol import ID, make_data

CHAT = {"model": ID, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
CONFIG = "\n[engine]\nthreads = 1\n[models.default]\nn_ctx = 512\nslots = 2\n"


@pytest.mark.slow
def test_a_restored_host_answers_when_its_model_is_brought(
    tmp_path: Path, default_model_path: Path
) -> None:
    first = make_data(tmp_path, default_model_path)
    with (first / "appliance.toml").open("a") as file:
        file.write(CONFIG)
    with open_services(first) as services:
        _, secret = services.keys.create("app")
    artifact = shutil.copytree(
        first / "models" / ID, tmp_path / ID
    )  # the stick of the first import
    old, chosen = host(tmp_path / "first", first), answers.combine({})
    told = backup.backup(old, chosen, quiet(old), tmp_path / "file", models=False)
    assert [model["id"] for model in told["left_out"]] == [ID]
    shutil.rmtree(first)  # the first host is lost

    new = host(tmp_path / "second", tmp_path / "elsewhere")
    index = backup.restore(new, chosen, tmp_path / "file")
    assert backup.to_bring(new, chosen, index, new.data) == told["left_out"]
    command = [sys.executable, "-m", "appliance", "serve", "--port", "0", "--data", str(new.data)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = (re.search(r"listening on (http://\S+)", line) for line in process.stderr)
            address = next(match[1] for match in said if match)
            headers = {"authorization": f"Bearer {secret}"}
            with httpx.Client(base_url=address, headers=headers, timeout=120) as client:
                assert client.get("/readyz").status_code == 503
                refused = client.post("/v1/chat/completions", json=CHAT)
                assert refused.status_code == 503
                assert refused.json()["error"]["code"] == "model_missing"
                (model,) = run_command("model", "list", "--json", data=new.data).document["models"]
                assert model["state"] == "missing"

                done = run_command("model", "import", artifact, "--id", ID, data=new.data)
                assert done.status == 0, done.err  # its approvals still hold
                answer = client.post("/v1/chat/completions", json=CHAT)
                assert answer.status_code == 200, answer.text
                assert client.get("/readyz").status_code == 200
        finally:
            process.terminate()
            process.communicate(timeout=180)
    assert run_command("audit", "verify", "--json", data=new.data).document["ok"]
