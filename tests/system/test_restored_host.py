"""A backup restored on another host: a model that is brought, a batch that ran, answers computed
again, with the texts under a passphrase and a new key-encryption key.
"""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.app import Services, initialise, open_services
from appliance.host import host_key
from appliance.wiring import protection
from installer.host import answers, backup
from tests import replayed
from tests.api.fake import CARD, FakeInference, with_fakes
from tests.batches import site as batches
from tests.batches.site import site
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
        app = create_lan_app(services)
        caller = services.keys.authenticate(secret)
        _, session = app.state.sessions.begin(caller, secret)
        assert app.state.sessions.authenticate(session).key_id == caller.key_id
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
                before = {"authorization": f"Bearer {session}"}  # of a person, in a browser
                ended = client.get("/v1/models", headers=before)
                assert (ended.status_code, ended.json()["error"]["code"]) == (401, "session_ended")
                fresh = client.post("/v1/sessions", json={}).json()["token"]
                again = {"authorization": f"Bearer {fresh}"}
                assert client.get("/v1/models", headers=again).status_code == 200
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


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A passphrase, which the installer finds where systemd puts it."""
    (given := tmp_path / "credentials").mkdir()
    (given / host_key.CREDENTIAL).write_text("correct horse battery")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    return "correct horse battery"


def moved(root: Path, data: Path, words: str) -> Path:
    """The directory as a restore puts it elsewhere; the first host is lost."""
    old, chosen = host(root / "first", data), answers.combine({})
    backup.backup(old, chosen, quiet(old), root / "file", models=True)
    shutil.rmtree(data)
    new = host(root / "second", root / "elsewhere")
    backup.restore(new, chosen, root / "file")
    host_key.unlock(new.data, words)
    return new.data


@pytest.mark.slow
async def test_a_batch_that_ran_ends_on_the_restored_host(tmp_path: Path, words: str) -> None:
    async with site(tmp_path) as here:
        here.services.jobs._runner.served = True
        here.inference.hold = asyncio.Event()
        batch = await here.begun(20)
        await here.inference.starting.wait()
        live = here.services.jobs.live(here.services.batches.store.get(batch.id).job or 0)
        assert live is not None
        await here.services.jobs.end([live])
        assert here.services.batches.store.get(batch.id).status == "in_progress"
    protection.protect(tmp_path / "data", words)
    protection.renew_kek(tmp_path / "data")
    data = moved(tmp_path, tmp_path / "data", words)
    with open_services(data, clock=here.clock) as real:
        inference = FakeInference(real.audit)
        services = with_fakes(real, inference)
        create_lan_app(services)
        await services.jobs.serve()
        found = await batches.Site(real, services, inference, here.clock, here.key).ended(batch)
        assert (found.status, found.completed) == ("completed", len(inference.requests)) == (
            "completed", 20)  # fmt: skip
        lines = b"".join(part.text for part in services.batches.files.parts(found.output))
        assert lines.count(b"\n") == 20
        await services.jobs.close()
    host_key.lock(data)


@asynccontextmanager
async def asked(data: Path, secret: str = "") -> AsyncIterator[tuple[Services, httpx.AsyncClient]]:
    with open_services(data) as real:
        services = with_fakes(real, FakeInference(real.audit))
        headers = {"x-api-key": secret or services.keys.create("app")[1]}
        transport = httpx.ASGITransport(create_lan_app(services))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://lan/v1", headers=headers
        ) as client:
            yield services, client


async def test_responses_and_conversations_go_on_and_are_erased_on_the_restored_host(
    tmp_path: Path, words: str
) -> None:
    body = {"model": CARD.id, "input": "Hi"}
    initialise(tmp_path / "data", "lab")
    async with asked(tmp_path / "data") as (_, client):
        secret = client.headers["x-api-key"]
        talk = (await client.post("/conversations", json={})).json()["id"]
        names = [
            (await client.post("/responses", json={**body, **more})).json()["id"]
            for more in ({}, {}, {"conversation": talk})
        ]
    protection.protect(tmp_path / "data", words)
    protection.renew_kek(tmp_path / "data")
    data = moved(tmp_path, tmp_path / "data", words)
    async with asked(data, secret) as (services, client):
        for more in ({"previous_response_id": names[0]}, {"conversation": talk}):
            gone_on = await client.post("/responses", json={**body, **more})
            assert gone_on.status_code == 200, gone_on.text
        for name in (names[0], names[2]):
            services.erasure.erase(name.replace("resp_", "req-"), "uid:0", "asked for")
        gone = [*(f"/responses/{name}" for name in (names[0], names[2])), f"/conversations/{talk}"]
        told = [(await client.get(path)).status_code for path in (*gone, f"/responses/{names[1]}")]
        assert told == [409, 409, 409, 200]
    host_key.lock(data)


@pytest.mark.slow
async def test_answers_of_the_lost_host_are_computed_again(
    tmp_path: Path, words: str, default_model_path: Path
) -> None:
    made = replayed.make(tmp_path, default_model_path)
    async with replayed.serving(made, replayed.config()) as services:
        seqs = await replayed.answers(services, 9, seed=1)
    protection.protect(made, words)
    data = moved(tmp_path, made, words)
    protection.renew_kek(data)
    async with replayed.serving(data, replayed.config()) as services:
        told = await replayed.replayed(services, seqs=seqs)
        assert told.same == len(seqs), told.document
    host_key.lock(data)
