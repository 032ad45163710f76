"""Approved tasks: signed, imported, approved by two people, and then an app names one."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.app import Services, open_services
from appliance.errors import TaskRefused
from appliance.tasks import catalogue
from appliance.tasks.catalogue import ApprovedTasks
from appliance.trust import signing
from appliance.trust.directory import open_artifact
from appliance.trust.store import load_policy
from tests.evals.orders import TASK, write_task
from tests.smol import APPROVERS, ID, SMALL, approve, key, quiet, sealed

DIGEST = "16399c58348341f1727030d1fc312a7fb25819f69fcbb6d15fd0687f698a49c4"


@pytest.fixture
async def own(smol_data: Path, tmp_path: Path) -> AsyncIterator[Services]:
    """A data directory of this test's own, with the model loaded."""
    data = tmp_path / "own"
    shutil.copytree(smol_data, data)
    with open_services(data, config=SMALL) as services:
        await services.supervisor.start(sealed(services))
        yield services
        await services.inference.drain(30)
        await services.supervisor.close()


def imported(services: Services, path: Path, text: str) -> None:
    write_task(path, text)
    signing.sign_directory(path, key(services.data, "publisher"), quiet)
    services.lifecycle.import_model("uid:0", path, "orders", quiet)


def task_for(services: Services) -> str:
    digest = services.store.inventory.record(ID).digest
    assert digest is not None
    return TASK.replace(DIGEST, digest)


def app_of(services: Services) -> httpx.AsyncClient:
    _, secret = services.keys.create("app")
    transport = httpx.ASGITransport(create_lan_app(services))
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.AsyncClient(transport=transport, base_url="http://lan", headers=headers)


async def ask(client: httpx.AsyncClient, **more: object) -> httpx.Response:
    turn = {"role": "user", "content": "replace hose"}
    return await client.post(
        "/v1/chat/completions", json={"model": "orders", "messages": [turn], **more}
    )


async def test_an_app_names_a_task_once_two_people_approved_it(
    own: Services, tmp_path: Path
) -> None:
    imported(own, tmp_path / "orders", task_for(own))
    record = own.store.inventory.record("orders")
    assert (record.kind, record.state) == ("task", "verified")
    assert (record.facts["form"], record.facts["model"]) == ("labels", ID)
    async with app_of(own) as client:
        assert (await ask(client)).status_code == 404
        approve(own, "orders", *APPROVERS)
        listed = (await client.get("/v1/models")).json()["data"]
        assert [model["id"] for model in listed] == ["orders", ID]
        answer = await ask(client, temperature=2.0)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        about = body["x_appliance"]
        assert body["choices"][0]["message"]["content"] in ("hydraulics", "engine")
        assert (about["task"], about["version"], about["stage"]) == ("orders", 1, ID)
        assert about["digest"] == own.store.inventory.record("orders").digest
        assert sum(about["distribution"].values()) == pytest.approx(1, abs=1e-5)
        assert about["confidence"] == max(about["distribution"].values())
        refused = await ask(client, n=2)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "task_parameter")
        streamed = await ask(client, stream=True)
        chunks = [
            json.loads(line[6:])
            for line in streamed.text.splitlines()
            if line.startswith("data: {")
        ]
        assert chunks[-1]["x_appliance"]["task"] == "orders"
        assert "x_appliance" not in chunks[0]
        plain = await client.post(
            "/v1/completions", json={"model": "orders", "prompt": "replace piston"}
        )
        assert plain.json()["x_appliance"]["task"] == "orders"
        bare = await client.post(
            "/v1/completions", json={"model": ID, "prompt": "a", "max_tokens": 1}
        )
        assert "x_appliance" not in bare.json()


async def test_a_task_that_was_changed_in_the_store_does_not_answer(
    own: Services, tmp_path: Path
) -> None:
    imported(own, tmp_path / "orders", task_for(own))
    approve(own, "orders", *APPROVERS)
    stored = own.data / "models" / "orders" / "task.toml"
    stored.chmod(0o600)
    stored.write_text(stored.read_text().replace("engine", "wings "))
    async with app_of(own) as client:
        answer = await ask(client)
        assert answer.status_code >= 400
        assert answer.json()["error"]["code"] == "file_changed"


async def test_a_task_for_another_model_does_not_answer(own: Services, tmp_path: Path) -> None:
    imported(own, tmp_path / "orders", TASK.replace(DIGEST, "ab" * 32))
    approve(own, "orders", *APPROVERS)
    async with app_of(own) as client:
        answer = await ask(client)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "task_model_changed")


async def test_what_was_checked_is_kept_until_its_record_changes(
    own: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(own, tmp_path / "orders", task_for(own))
    approve(own, "orders", *APPROVERS)
    tasks = ApprovedTasks(own.store, lambda: load_policy(own.data / "trust"))
    assert tasks.names() == ["orders"]
    assert tasks.model_of("orders") == ID and tasks.model_of(ID) is None
    one = await tasks.open("orders")
    assert await tasks.open("orders") is one
    assert one.task.id == "orders" and len(one.digest) == 64


def test_a_task_that_cannot_be_served_is_refused_at_the_door(tmp_path: Path) -> None:
    path = write_task(
        tmp_path / "t", TASK.replace("[candidate]", '[candidate]\nkind = "classifier"')
    )
    with open_artifact(path) as artifact, pytest.raises(TaskRefused, match="Only a model"):
        catalogue.vet(artifact)
