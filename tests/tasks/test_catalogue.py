"""Approved tasks: signed, imported, approved by two people, and then an app names one."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.app import Services, open_services
from appliance.audit.search import Query
from appliance.errors import TaskRefused
from appliance.facts import TaskFacts
from appliance.host import at_rest
from appliance.tasks import catalogue
from appliance.tasks.catalogue import ApprovedTasks
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.store import load_policy
from appliance.trust.bytes.directory import open_artifact
from appliance.types import Limits
from tests.evals.orders import TASK, write_task
from tests.smol import APPROVERS, ID, SMALL, approve, key, quiet, sealed
from tests.tasks.example import CLASSIFIER, coefficients

FREE_TEXT = """[output]
form = "text"

[gate]
metric = "exact_match"
margin = 0.05
"""
DIGEST = "16399c58348341f1727030d1fc312a7fb25819f69fcbb6d15fd0687f698a49c4"


@pytest.fixture
async def own(smol_data: Path, tmp_path: Path) -> AsyncIterator[Services]:
    data = tmp_path / "own"
    shutil.copytree(smol_data, data)
    with open_services(data, config=SMALL) as services:
        await services.supervisor.start(sealed(services))
        yield services
        await services.inference.drain(30)
        await services.supervisor.close()


def imported(
    services: Services, path: Path, text: str, task_id: str = "orders", **files: str
) -> None:
    write_task(path, text, **files)
    signing.sign_directory(path, key(services.data, "publisher"), quiet)
    services.lifecycle.import_model("uid:0", path, task_id, quiet)


def task_for(services: Services) -> str:
    digest = services.store.inventory.record(ID).digest
    assert digest is not None
    return TASK.replace(DIGEST, digest)


def app_of(services: Services, name: str = "app", **limits: Any) -> httpx.AsyncClient:
    _, secret = services.keys.create(name, **limits)
    transport = httpx.ASGITransport(create_lan_app(services))
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.AsyncClient(transport=transport, base_url="http://lan", headers=headers)


async def ask(
    client: httpx.AsyncClient, content: str = "replace hose", **more: object
) -> httpx.Response:
    turn = {"role": "user", "content": content}
    return await client.post(
        "/v1/chat/completions", json={"model": "orders", "messages": [turn], **more}
    )


async def test_an_app_names_a_task_once_two_people_approved_it(
    own: Services, tmp_path: Path
) -> None:
    imported(own, tmp_path / "orders", task_for(own))
    record = own.store.inventory.record("orders")
    assert (record.kind, record.state) == ("task", "verified")
    assert isinstance(record.facts, TaskFacts)
    assert (record.facts.form, record.facts.model) == ("labels", ID)
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
    changed = at_rest.read(stored).replace(b"engine", b"wings ")
    stored.write_bytes(at_rest.sealed(stored, changed))
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
    (entry,) = tasks.entries()
    assert (entry.id, entry.model, entry.form) == ("orders", ID, "labels")
    assert tasks.entry("orders") == entry and tasks.entry(ID) is None
    one = await tasks.open("orders")
    assert await tasks.open("orders") is one
    assert one.task.id == "orders" and len(one.digest) == 64


def test_a_task_that_cannot_be_served_is_refused_at_the_door(tmp_path: Path) -> None:
    path = write_task(tmp_path / "t", CLASSIFIER, classifier_json=coefficients("engine"))
    with open_artifact(path) as artifact, pytest.raises(TaskRefused, match="other labels"):
        catalogue.vet(artifact)


async def test_a_classifier_answers_on_every_route_without_a_worker(
    smol_data: Path, tmp_path: Path
) -> None:
    shutil.copytree(smol_data, tmp_path / "own")
    with open_services(tmp_path / "own", config=SMALL) as services:
        imported(services, tmp_path / "orders", CLASSIFIER, classifier_json=coefficients())
        async with app_of(services, "probe") as client:
            assert (await client.get("/readyz")).status_code == 503
            approve(services, "orders", *APPROVERS)
            assert (await client.get("/readyz")).status_code == 200
        known = len(services.reader.search(Query(kind="intent", limit=1000)).entries)
        async with app_of(services, limits=Limits(rpm=6)) as client:
            listed = (await client.get("/v1/models")).json()["data"]
            assert (listed[0]["id"], listed[0]["meta"]["form"]) == ("orders", "labels")
            whole = await ask(client, "hose leaks")
            about = whole.json()["x_appliance"]
            assert whole.json()["choices"][0]["message"]["content"] == "hydraulics"
            assert about["candidate"]["kind"] == about["stage"] == "classifier"
            assert about["confidence"] == max(about["distribution"].values())
            assert whole.json()["usage"]["total_tokens"] == 0
            for route, asked in (
                ("/v1/completions", {"prompt": "hose leaks"}),
                ("/v1/responses", {"input": "hose leaks"}),
            ):
                again = (await client.post(route, json={"model": "orders", **asked})).json()
                assert again["x_appliance"] == about
            events: dict[str, object] = {"model": "orders", "input": "hose leaks", "stream": True}
            streamed = (await client.post("/v1/responses", json=events)).text
            done = streamed.split("event: response.completed\ndata: ")[1]
            assert json.loads(done)["response"]["x_appliance"] == about
            texts = ["hose leaks", json.dumps({"text": "piston"})]
            reply = await client.post("/v1/classify", json={"model": "orders", "input": texts})
            sorted_ = reply.json()
            assert [item["label"] for item in sorted_["data"]] == ["hydraulics", "engine"]
            assert sorted_["data"][0]["probs"] == pytest.approx(
                list(about["distribution"].values()), abs=1e-6
            )
            for item in sorted_["data"]:
                assert sum(item["probs"]) == pytest.approx(1) and item["num_classes"] == 3
            one, other = reply.headers["x-appliance-receipt"].split(", ")
            assert one != other
            proof = await client.get(f"/v1/receipts/{reply.headers['x-request-id']}")
            assert proof.status_code == 200
            refused = await client.post("/v1/classify", json={"model": "orders", "input": "a"})
            assert refused.status_code == 429  # the quota counts each text: this is the seventh
        intents = services.reader.search(Query(kind="intent", limit=1000)).entries[known:]
        outcomes = services.reader.search(Query(kind="outcome", limit=1000)).entries[known:]
        record = services.store.inventory.record("orders")
        assert len(intents) == len(outcomes) == 6
        assert {entry.body["task"] for entry in intents} == {record.digest}
        assert {entry.body["digest"] for entry in intents} == {about["candidate"]["digest"]}
        assert {entry.body["model"] for entry in outcomes} == {"orders"}
        assert not services.supervisor.is_loaded(ID)
        await services.inference.drain(30)


async def test_classify_takes_tasks_of_labels_alone(own: Services, tmp_path: Path) -> None:
    text = task_for(own).split("[output]")[0] + FREE_TEXT
    imported(own, tmp_path / "notes", text, "notes")
    approve(own, "notes", *APPROVERS)
    before = len(own.reader.search(Query(kind="intent", limit=1000)).entries)
    async with app_of(own) as client:
        for model in ("notes", ID):
            reply = await client.post("/v1/classify", json={"model": model, "input": "a"})
            assert reply.status_code == 400
            assert reply.json()["error"]["code"] == "wrong_model_kind"
    assert len(own.reader.search(Query(kind="intent", limit=1000)).entries) == before


async def test_a_blend_lies_between_the_model_and_the_classifier(
    own: Services, tmp_path: Path
) -> None:
    def text(kind: str, more: str = "") -> str:
        named = task_for(own).replace('"engine"]', '"engine", "electrical"]')
        return named.replace("[candidate]", f'[candidate]\nkind = "{kind}"\n{more}')

    files = {"classifier_json": coefficients()}
    both = 'classifier = "classifier.json"\nweight = 0.25\n'
    imported(own, tmp_path / "m", text("model"), "m")
    imported(own, tmp_path / "b", text("blend", both), "b", **files)
    imported(own, tmp_path / "c", CLASSIFIER, "c", **files)
    found = {}
    async with app_of(own) as client:
        for name in ("m", "b", "c"):
            approve(own, name, *APPROVERS)
            body = {"model": name, "input": "replace the piston"}
            reply = (await client.post("/v1/classify", json=body)).json()
            found[name] = reply["data"][0]["probs"]
            assert (reply["usage"]["prompt_tokens"] > 0) == (name != "c")
        products = [m**0.25 * c**0.75 for m, c in zip(found["m"], found["c"], strict=True)]
        assert found["b"] == pytest.approx([p / sum(products) for p in products], abs=0.01)
        turn = {"role": "user", "content": "replace the piston"}
        asked = {"model": "b", "messages": [turn]}
        about = (await client.post("/v1/chat/completions", json=asked)).json()["x_appliance"]
        assert (about["candidate"]["kind"], about["stage"]) == ("blend", ID)


async def test_the_opening_of_a_task_is_computed_once_for_all_apps(
    own: Services, tmp_path: Path
) -> None:
    examples = "".join(
        json.dumps({"id": f"t{n}", "input": {"text": f"hose {n}"}, "expected": "hydraulics"}) + "\n"
        for n in range(4)
    )
    text = task_for(own).replace("[output]", 'examples = "examples.jsonl"\n[output]', 1)
    imported(own, tmp_path / "orders", text, examples_jsonl=examples)
    approve(own, "orders", *APPROVERS)

    async def used(client: httpx.AsyncClient, content: str) -> tuple[int, int]:
        body = {"model": "orders", "messages": [{"role": "user", "content": content}]}
        usage = (await client.post("/v1/chat/completions", json=body)).json()["usage"]
        return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]

    async with app_of(own) as one, app_of(own, "other") as other:
        prompt, cached = await used(one, "a")
        assert cached == 0
        again, shared = await used(other, "Z")  # another key, another input
        # All but the last turn of the user and what opens the answer.
        assert prompt - 16 <= shared < again
        # A conversation of the app's own that begins alike shares nothing with other apps.
        opening = [
            {"role": "system", "content": "Name the system that the work order is about."},
            {"role": "user", "content": "Work order: hose 0"},
            {"role": "assistant", "content": "hydraulics"},
            {"role": "user", "content": "a"},
        ]
        body = {"model": ID, "messages": opening, "max_tokens": 1}
        reply = (await other.post("/v1/chat/completions", json=body)).json()
        assert reply["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


async def test_a_key_for_tasks_reaches_no_model_by_itself(own: Services, tmp_path: Path) -> None:
    imported(own, tmp_path / "orders", task_for(own))
    approve(own, "orders", *APPROVERS)
    turn = {"role": "user", "content": "replace hose"}
    bare: list[tuple[str, dict[str, object]]] = [
        ("/v1/chat/completions", {"messages": [turn], "max_tokens": 1}),
        ("/v1/completions", {"prompt": "a", "max_tokens": 1}),
        ("/v1/responses", {"input": "a"}),
        ("/v1/embeddings", {"input": "a"}),
        ("/tokenize", {"prompt": "a"}),
        ("/detokenize", {"tokens": [1]}),
    ]
    async with app_of(own, tasks_only=True) as client:
        listed = (await client.get("/v1/models")).json()["data"]
        assert [model["id"] for model in listed] == ["orders"]
        assert (await client.get(f"/v1/models/{ID}")).status_code == 404
        assert (await ask(client)).status_code == 200
        for route, body in bare:
            refused = await client.post(route, json={"model": ID, **body})
            assert (refused.status_code, refused.json()["error"]["code"]) == (
                404, "model_not_found",
            ), route  # fmt: skip
    async with app_of(own, "one", tasks_only=True, models=[ID]) as client:
        assert (await client.get("/v1/models")).json()["data"] == []
    async with app_of(own, "free") as client:  # the control
        for route, body in bare[:2]:
            assert (await client.post(route, json={"model": ID, **body})).status_code == 200


@pytest.mark.parametrize("size", [10_000_000])
async def test_ten_megabytes_are_refused_on_every_route(
    own: Services, tmp_path: Path, size: int
) -> None:
    imported(own, tmp_path / "orders", task_for(own))
    approve(own, "orders", *APPROVERS)
    before = len(own.reader.search(Query(kind="intent", limit=1000)).entries)
    text = "a b " * (size // 4)
    async with app_of(own) as client:
        for route, body in (
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": text}]}),
            ("/v1/completions", {"prompt": text}),
            ("/v1/responses", {"input": text}),
            ("/v1/classify", {"input": text}),
        ):
            reply = await client.post(route, json={"model": "orders", **body})
            code = reply.json()["error"]["code"]
            assert (reply.status_code, code) in (
                (413, "request_too_large"),
                (400, "task_input_invalid"),
            ), route
        assert (await ask(client)).status_code == 200  # the next one is served
    after = len(own.reader.search(Query(kind="intent", limit=1000)).entries)
    assert after == before + 1


async def test_bad_input_has_its_code_and_leaves_no_entry(own: Services, tmp_path: Path) -> None:
    two = task_for(own).replace(
        'input = [{ name = "text", max_chars = 500 }]',
        'input = [{ name = "text", max_chars = 500 }, { name = "site" }]',
    )
    imported(own, tmp_path / "two", two.replace("{{ text }}", "{{ text }} {{ site }}"), "two")
    lost = task_for(own).replace(f'model = "{ID}"', 'model = "not-approved"')
    imported(own, tmp_path / "lost", lost, "lost")
    for name in ("two", "lost"):
        approve(own, name, *APPROVERS)
    before = len(own.reader.search(Query(kind="intent", limit=1000)).entries)
    async with app_of(own) as client:
        for model, content, status, code in (
            ("two", '{"text": "a"}', 400, "task_input_invalid"),
            ("two", "a", 400, "task_input_invalid"),
            ("lost", "a", 503, "task_model_missing"),
        ):
            body = {"model": model, "messages": [{"role": "user", "content": content}]}
            reply = await client.post("/v1/chat/completions", json=body)
            assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
            if model == "two":
                assert "site" in reply.json()["error"]["message"]
        listed = (await client.get("/v1/models")).json()["data"]
        assert [model["id"] for model in listed] == ["two", ID]
    assert len(own.reader.search(Query(kind="intent", limit=1000)).entries) == before
