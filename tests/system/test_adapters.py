"""Adapters through the whole appliance: commands, HTTP, the confined worker, the log."""

import asyncio
import itertools
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from appliance.app import Services, initialise, open_services
from tests.lora import add_adapter, write_lora
from tests.smol import APPROVERS, ID, approve, quiet, signed_artifact
from tests.system.conftest import CONFIG, Server, serving
from tests.system.test_docs_snippets import (
    MODEL,
    ROOT,
    SERVED,
    Block,
    execute,
    follow,
    served,
)

FR, DE = f"{ID}:fr", f"{ID}:de"
IDS = (ID, FR, DE)
PAGE = ROOT / "docs" / "adapters.md"


def two_adapters(services: Services) -> None:
    for seed, name in enumerate(("fr", "de")):
        add_adapter(services, name, seed, strength=1.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, shallow_path: Path) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("adapters")
    with serving(directory, shallow_path, CONFIG, two_adapters) as made:
        yield made


def complete(server: Server, model: str, prompt: str = "The pump", tokens: int = 8) -> Any:
    body = {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0,
            "ignore_eos": True}  # fmt: skip
    with server.client() as client:
        return client.post("/completions", json=body)


def text(server: Server, model: str) -> str:
    answer = complete(server, model)
    assert answer.status_code == 200, answer.text
    said: str = answer.json()["choices"][0]["text"]
    return said


def test_each_is_a_model_of_its_own_that_names_its_parent(server: Server) -> None:
    with server.client() as client:
        listed = {m["id"]: m for m in client.get("/models").json()["data"]}
        assert client.get(f"/models/{FR}").json() == listed[FR]
    assert {name: m["parent"] for name, m in listed.items()} == {ID: None, FR: ID, DE: ID}
    base, digest = listed[ID]["meta"]["digest"], listed[FR]["meta"]["digest"]
    assert listed[FR]["meta"]["base_digest"] == base != digest
    assert len({text(server, model) for model in IDS}) == 3
    answer = complete(server, FR)
    assert answer.json()["system_fingerprint"] == f"fp_{base[:16]}_{digest[:16]}"
    assert answer.json()["model"] == FR
    seq = int(answer.headers["x-appliance-receipt"].split()[0])
    outcome = server.command("audit", "show", str(seq))["body"]
    intent = server.command("audit", "show", str(outcome["intent"]))["body"]
    assert (intent["model"], intent["digest"], intent["adapter"]) == (FR, base, digest)
    (worker,) = server.command("status")["workers"]
    assert sorted(worker["adapters"]) == [DE, FR]
    kinds = {m["id"]: (m["kind"], m["loaded"]) for m in server.command("model", "list")["models"]}
    assert kinds == {ID: ("generate", True), FR: ("adapter", True), DE: ("adapter", True)}
    facts = server.command("model", "show", FR)["facts"]
    assert (facts["rank"], facts["base_digest"]) == (4, base)


def test_a_key_opens_the_ids_in_its_list_and_no_others(server: Server) -> None:
    for allowed, denied in ((ID, FR), (FR, ID), (FR, DE)):
        name = f"only {allowed} {denied}".replace(":", "-")
        made = server.command("key", "create", name, "--models", allowed)
        key = {"authorization": f"Bearer {made['secret']}"}
        with httpx.Client(base_url=server.base_url, headers=key, timeout=120) as client:
            assert [m["id"] for m in client.get("/models").json()["data"]] == [allowed]
            body = {"model": allowed, "prompt": "x", "max_tokens": 1}
            assert client.post("/completions", json=body).status_code == 200
            refused = client.post("/completions", json={**body, "model": denied})
            assert refused.status_code == 404
            assert refused.json()["error"]["code"] == "model_not_found"


async def stream(client: AsyncOpenAI, model: str, tokens: int, begun: asyncio.Event) -> str:
    said = ""
    chunks = await client.completions.create(
        model=model, prompt="Report 1.", max_tokens=tokens, temperature=0, stream=True,
        extra_body={"ignore_eos": True},
    )  # fmt: skip
    async for chunk in chunks:
        said += chunk.choices[0].text if chunk.choices else ""
        begun.set()
    return said


async def test_an_adapter_is_unloaded_under_its_answers_while_the_base_goes_on(
    server: Server,
) -> None:
    before = await asyncio.to_thread(text, server, FR)
    pid = (await asyncio.to_thread(server.worker))["pid"]
    async with AsyncOpenAI(
        base_url=server.base_url, api_key=server.secrets[0], max_retries=0
    ) as client:
        begun = [asyncio.Event() for _ in range(2)]
        base = asyncio.create_task(stream(client, ID, 200, begun[0]))
        adapted = asyncio.create_task(stream(client, FR, 400, begun[1]))
        await asyncio.gather(*(event.wait() for event in begun))
        await asyncio.to_thread(server.command, "model", "unload", FR)
        with pytest.raises(Exception, match="was unloaded") as caught:
            await adapted
        assert getattr(caught.value, "code", None) == "adapter_unloaded"
        gone = await asyncio.to_thread(complete, server, FR)
        assert gone.status_code == 404 and gone.json()["error"]["code"] == "model_not_found"
        await base
    await asyncio.to_thread(server.command, "model", "load", FR)
    assert await asyncio.to_thread(text, server, FR) == before
    assert (await asyncio.to_thread(server.worker))["pid"] == pid  # nothing was started again


def test_adapters_come_back_with_a_worker_that_was_killed(server: Server) -> None:
    before = {model: text(server, model) for model in IDS}
    pid = server.worker()["pid"]
    os.kill(pid, signal.SIGKILL)
    while (worker := server.worker())["state"] != "ready" or worker["pid"] == pid:
        pass
    assert sorted(worker["adapters"]) == [DE, FR]
    assert {model: text(server, model) for model in IDS} == before


def test_a_suspended_adapter_is_gone_until_it_is_approved_anew(server: Server) -> None:
    before = text(server, DE)
    assert server.command("model", "suspend", DE, "--reason", "a test")["state"] == "suspended"
    refused = complete(server, DE)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_suspended")
    assert text(server, ID) and text(server, FR)
    keys = server.data / "keys" / "lab"
    for name in ("approver-1", "approver-2"):
        server.command(
            "model", "approve", DE, "--as", name, "--key", str(keys / f"{name}.pem"),
            "--meaning", "looked at again",
        )  # fmt: skip
    server.command("model", "load", DE)
    assert text(server, DE) == before


def test_a_base_takes_its_adapters_along(server: Server) -> None:
    server.command("model", "unload", ID)
    states = {m["id"]: m["state"] for m in server.command("model", "list")["models"]}
    assert states == dict.fromkeys(IDS, "approved")
    server.command("model", "load", ID)
    states = {m["id"]: m["state"] for m in server.command("model", "list")["models"]}
    assert states == dict.fromkeys(IDS, "serving")


async def mixed_load(server: Server, models: tuple[str, ...], count: int) -> None:
    """Requests to several models, eight at a time; each text is that of the model alone."""
    prompts = [f"Report {n}: the pump" for n in range(4)]
    cases = list(itertools.product(models, prompts))
    async with AsyncOpenAI(
        base_url=server.base_url, api_key=server.secrets[0], max_retries=0
    ) as client:

        async def ask(model: str, prompt: str) -> str:
            answer = await client.completions.create(
                model=model, prompt=prompt, max_tokens=6, temperature=0,
                extra_body={"ignore_eos": True},
            )  # fmt: skip
            return answer.choices[0].text

        alone = {case: await ask(*case) for case in cases}
        assert len(set(alone.values())) > len(models)  # a mix-up would show
        gate = asyncio.Semaphore(8)

        async def again(number: int) -> None:
            case = cases[number * 7 % len(cases)]
            async with gate:
                assert await ask(*case) == alone[case]

        await asyncio.gather(*map(again, range(count)))


async def test_a_mixed_load_answers_as_each_model_does_alone(server: Server) -> None:
    await mixed_load(server, IDS, 48)


@pytest.mark.slow
def test_the_page_on_adapters_is_true(tmp_path: Path, default_model_path: Path) -> None:
    # The base as in the admin guide, which tests/system/test_docs_snippets.py types.
    initialise(tmp_path / "data", "lab")
    artifact = signed_artifact(tmp_path / "data", default_model_path, tmp_path / MODEL)
    with open_services(tmp_path / "data") as services:
        services.lifecycle.import_model("uid:0", artifact, None, quiet)
        approve(services, MODEL, *APPROVERS)
    (tmp_path / "reports").mkdir()
    write_lora(default_model_path, tmp_path / "reports" / "reports.gguf", 3)
    data = {"APPLIANCE_DATA": str(tmp_path / "data")}
    told = follow(PAGE, tmp_path, data)
    assert "[+] approved" in told[-1] and "base_digest" in told[-1]
    key = json.loads(execute(Block("sh", "appliance key new docs --json", 0), tmp_path, data))
    with served(tmp_path / "data") as address:
        status = follow(PAGE, tmp_path, data, SERVED)[-1]
        assert f"{MODEL}:reports" in status
        app = {"OPENAI_BASE_URL": f"{address}/v1", "OPENAI_API_KEY": key["secret"]}
        printed = follow(PAGE, tmp_path, app, "<!-- tested with the app -->")[-1]
    assert f"{MODEL}:reports of {MODEL}" in printed
    said = [line.split(" ", 2)[2] for line in printed.splitlines() if " fp_" in line]
    assert len(set(said)) == 2
