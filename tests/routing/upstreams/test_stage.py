"""A route whose second stage is on another host, and people after it."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from appliance.api.app import create_lan_app
from appliance.app import Services, initialise, open_services
from appliance.config import UpstreamConfig
from appliance.errors import ApplianceError, Queued
from appliance.types import Caller, Limits, TaskAnswer
from tests.evals.orders import FITTED, TASK, write_task
from tests.routing.upstreams.engine import Engine
from tests.routing.upstreams.site import BIG, CONNECT_MS, all_hops, approve
from tests.routing.world import (
    COMMON,
    DATA_ID,
    DOUBTFUL,
    LARGE_ID,
    RARE,
    ROUTE_ID,
    SMALL_ID,
    SURE,
    answer,
    app,
    approved,
    asked,
    calibrate,
    coefficients,
    entries,
    terms,
    write_dataset,
    write_route,
)
from tests.smol import SMALL, until
from tests.system.test_docs_snippets import APP_GUIDE, blocks, execute

QUEUED = 'on_defer = "queue"\n'
PEOPLE = '\n[[stages]]\nname = "people"\nkind = "queue"\nhours = 2\n'
HOST = 'kind = "upstream"\nupstream = "big"\nmodel = "there"\n'


@dataclass
class Sorter(Engine):
    def _pieces(self, body: dict[str, Any]) -> list[Any]:
        text = str(body["messages"][-1]["content"])
        known = ((word, name) for each in (COMMON, RARE) for name in each for word in each[name])
        self.words = (next(name for word, name in known if word in text),)
        return super()._pieces(body)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("stage")
    initialise(root / "data", "lab")
    with open_services(root / "data", config=SMALL) as services:
        words = coefficients(COMMON)
        approved(services, write_task(root / SMALL_ID, FITTED, classifier_json=words))
        approved(services, write_task(root / LARGE_ID, TASK))
        write_dataset(services, root / DATA_ID)
        for name, tail in ((ROUTE_ID, HOST + PEOPLE), ("other", HOST.replace("there", "else"))):
            head = QUEUED if PEOPLE in tail else ""
            write_route(services, root / name, tail=tail, head=head)

    async def certify() -> None:
        async with serving(root / "data") as (services, engine):
            found = await calibrate(services, terms(services))
            assert found["verdict"] == "certified", found
            assert len(engine.streams) > 100  # it was the second stage that was measured
            kept = (await services.routes.standing(ROUTE_ID)).certificate
            assert kept is not None and kept.circumstances.identity == "claimed"

    asyncio.run(certify())
    yield root / "data"
    shutil.rmtree(root)


@asynccontextmanager
async def serving(data: Path, **more: Any) -> AsyncIterator[tuple[Services, Sorter]]:
    async with Sorter().serve() as engine:
        given = {"kind": "vllm", "model": "there", "idle_seconds": 5, **more}
        config = replace(
            SMALL,
            upstreams={BIG: UpstreamConfig(urls=(engine.url,), connect_ms=CONNECT_MS, **given)},
        )
        with open_services(data, config=config) as services:
            try:
                await services.upstreams.learn("uid:0", BIG)
                approve(services)
                await services.upstreams.probe("uid:0", BIG)
                yield services, engine  # type: ignore[misc]
            finally:
                await services.inference.drain(30)
                await services.upstreams.close()


async def refused(services: Services, caller: Caller, text: str = DOUBTFUL) -> ApplianceError:
    with pytest.raises(ApplianceError) as caught:
        await answer(services, caller, text)
    return caught.value


def about(piece: Any) -> TaskAnswer:
    assert piece.about is not None
    return piece.about  # type: ignore[no-any-return]


async def test_a_doubtful_input_goes_to_the_other_host(lab: Path) -> None:
    async with serving(lab) as (services, engine):
        assert about(await answer(services, app(), SURE)).stage == "classifier"
        assert not engine.streams
        caller = app()
        piece = await answer(services, caller, DOUBTFUL)
        upstream, told = services.upstreams.get(BIG), about(piece)
        assert piece.text == "engine" and told.routed is not None
        assert (told.stage, told.candidate) == (BIG, upstream.identity)
        assert (told.routed.stage, told.routed.hops) == ("large", 2)
        (sent,) = engine.streams
        assert (
            sent.body["messages"][0]["content"] == "Name the system that the work order is about."
        )
        assert sent.body["structured_outputs"] == {"choice": ["hydraulics", "engine"]}
        first, second = entries(services, kind="intent", request_id=caller.request_id)
        assert (first["hop"]["stage"], second["hop"]["stage"]) == ("small", "large")
        assert (second["model"], second["hop"]["before"]) == (BIG, "in_doubt")
        assert second["task"] == services.store.inventory.record(LARGE_ID).digest
        hops = [hop for hop in all_hops(services) if hop["request_id"] == caller.request_id]
        assert [hop["event"] for hop in hops] == ["sent", "answered"]
        record = upstream.hosts[0].record
        assert record is not None
        assert {(hop["identity"], hop["digest"]) for hop in hops} == {("claimed", record.digest)}
        # An exhausted key whose small answer is doubtful: 429, and no large call.
        poor = app(limits=Limits(rpm=1))
        assert (await refused(services, poor)).code == "rate_limit_exceeded"
        assert len(engine.streams) == 1
        assert not entries(services, action="route_deferred", request_id=poor.request_id)


async def test_what_the_host_cannot_or_must_not_answer_waits_for_a_person(lab: Path) -> None:
    async with serving(lab, keeps_content=True) as (services, engine):

        async def why(caller: Caller) -> str:
            # Each under a key of its own: the same input of one key names one item.
            key_id = caller.request_id[-8:]
            caller = replace(caller, principal=replace(caller.principal, key_id=key_id))
            error = await refused(services, caller)
            assert isinstance(error, Queued), error
            item = services.people.get(str(error.item["id"]))
            assert (item.request_id, item.task, item.input) == (
                caller.request_id, ROUTE_ID, {"text": DOUBTFUL},
            )  # fmt: skip
            assert item.deadline_us - item.created_us == 2 * 3_600_000_000
            return item.reason

        # A key that may not use the upstream: nothing is sent.
        assert await why(app(ROUTE_ID, SMALL_ID)) == "model_not_found"
        assert not engine.streams
        engine.mode = "full"
        assert await why(app()) == "upstream_busy"
        engine.mode = "truncated"
        assert await why(app()) == "upstream_incomplete"
        assert len(engine.streams) == 2  # what was sent is not sent again
        engine.mode = "whole"
        services.upstreams.get(BIG).hosts[0].drained = True
        assert await why(app()) == "upstream_unavailable"
        services.upstreams.get(BIG).hosts[0].drained = False
        # Texts that are not kept go to no host that keeps them, and wait for no person.
        quiet = app()
        quiet = replace(quiet, principal=replace(quiet.principal, content="off"))
        assert (await refused(services, quiet)).code == "queue_retention"
        assert quiet.request_id not in [hop["request_id"] for hop in all_hops(services)]
        assert len(engine.streams) == 2
        # A full queue of people refuses; nothing is accepted.
        services.people._most = 0
        engine.mode = "full"
        assert (await refused(services, app())).code == "people_queue_full"
        # The stage names another model than the upstream has.
        caller = app()
        with pytest.raises(ApplianceError) as caught:
            await answer(services, caller, DOUBTFUL, "other")
        assert caught.value.code == "task_deferred"
        (told,) = entries(services, action="route_deferred", request_id=caller.request_id)
        assert told["why"] == "route_stage_away"


async def test_a_system_message_is_not_used_and_told(lab: Path) -> None:
    async with serving(lab) as (services, engine):
        _, secret = services.keys.create("agent")
        transport = httpx.ASGITransport(create_lan_app(services))
        headers = {"authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://lan", headers=headers
        ) as client:
            for text, stage in ((SURE, "classifier"), (DOUBTFUL, BIG)):
                for role, told in (("system", ["system"]), ("developer", ["system"]), (None, None)):
                    said = [{"role": role, "content": "Answer in French."}] if role else []
                    body = {
                        "model": ROUTE_ID,
                        "messages": [*said, {"role": "user", "content": text}],
                    }
                    reply = await client.post("/v1/chat/completions", json=body)
                    about = reply.json()["x_appliance"]
                    assert (about["stage"], about.get("unused")) == (stage, told)
                    *_, intent = entries(
                        services, kind="intent", request_id=reply.headers["x-request-id"]
                    )
                    assert intent.get("unused") == told
        assert all("French" not in str(sent.body) for sent in engine.streams)


async def test_the_app_is_told_what_waits_and_reads_the_answer_of_the_person(lab: Path) -> None:
    async with serving(lab) as (services, engine):
        engine.mode = "full"
        _, secret = services.keys.create("app")
        transport = httpx.ASGITransport(create_lan_app(services))
        headers = {"authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://lan", headers=headers
        ) as client:
            turn = {"role": "user", "content": DOUBTFUL}
            body = {"model": ROUTE_ID, "messages": [turn]}
            bodies: list[tuple[str, dict[str, Any]]] = [
                ("chat/completions", body),
                ("completions", {"model": ROUTE_ID, "prompt": DOUBTFUL}),
                ("responses", {"model": ROUTE_ID, "input": DOUBTFUL, "store": False}),
                ("classify", {"model": ROUTE_ID, "input": [DOUBTFUL]}),
            ]
            named: set[str] = set()
            item: dict[str, Any] = {}
            where = ""
            for path, given in bodies:
                reply = await client.post(f"/v1/{path}", json=given)
                error = reply.json()["error"]
                assert (reply.status_code, error["code"]) == (422, "task_queued"), error
                assert "x-should-retry" not in reply.headers
                where = reply.headers["location"]
                named |= {error["item"], where.removeprefix("/v1/queue/")}
                wanted = {"prefer": "wait=5, Respond-Async;x=1"}
                reply = await client.post(f"/v1/{path}", json=given, headers=wanted)
                item = reply.json()
                assert (reply.status_code, item["object"]) == (202, "queue.item"), item
                assert reply.headers["preference-applied"] == "respond-async"
                assert (item["state"], item["labels"]) == ("waiting", ["hydraulics", "engine"])
                named |= {item["id"], reply.headers["location"].removeprefix("/v1/queue/")}
                if path != "classify":
                    reply = await client.post(f"/v1/{path}", json={**given, "stream": True})
                    assert reply.headers["content-type"].startswith("text/event-stream")
                    *_, event, end = reply.text.split("\n\n")
                    told = json.loads(event.removeprefix("data: "))["error"]
                    assert (reply.status_code, told["code"], end) == (200, "task_queued", "")
                    named.add(told["item"])
            assert named == {item["id"]}  # one request of one key, however it is asked
            services.people.answer(item["id"], "engine", "uid:0")
            read = (await client.get(where)).json()
            assert (read["id"], read["state"], read["answer"]) == (item["id"], "answered", "engine")
        label = services.people.get(item["id"]).item()
        assert (label.input, label.expected) == ({"text": DOUBTFUL}, "engine")
        # Last, for it lasts: a certificate that is suspended while the first stage computes.
        engine.mode = "whole"
        walk = await services.inference.start(caller := app(), asked(SURE))
        kept = (await services.routes.standing(ROUTE_ID)).certificate
        assert kept is not None
        services.routes.suspend(kept.id, "the supplier changed its forms")
        pieces = [piece async for piece in walk]
        await walk.cancel()
        assert about(pieces[-1]).stage == BIG
        hops = entries(services, kind="intent", request_id=caller.request_id)
        assert [hop["hop"]["before"] for hop in hops] == ["", "route_suspended"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_lines_of_the_guide_wait_for_the_person(
    lab: Path, tmp_path: Path, streamed: bool
) -> None:
    (lines,) = blocks(APP_GUIDE.read_text(), "<!-- tested with a person -->")
    sent = "messages=[order]"
    assert lines.code.count(sent) == 1 and DOUBTFUL in lines.code
    if streamed:
        made = lines.code.replace(sent, f"{sent}, stream=True")
        lines = replace(lines, code=made.replace("    print(answer.", "    print(*answer)  #"))
    async with serving(lab) as (services, engine):
        engine.mode = "full"
        key, secret = services.keys.create(f"guide {streamed}")
        app = create_lan_app(services)
        config = uvicorn.Config(app, "127.0.0.1", 0, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        listening = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        given = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": secret,
                 "ROUTE": ROUTE_ID}  # fmt: skip
        asking = asyncio.create_task(asyncio.to_thread(execute, lines, tmp_path, given))
        try:
            await until(lambda: asking.done() or services.people.list(key_id=key.id))
            assert not asking.done(), await asking
            (item,) = services.people.list(key_id=key.id)
            services.people.answer(item.id, "engine", "uid:0")
            assert await asking == "answered engine\n"
        finally:
            server.should_exit = True
            await listening


async def test_an_upstream_that_is_not_approved_is_away(lab: Path) -> None:
    with open_services(lab, config=SMALL) as services:
        caller = app()
        error = await refused(services, caller)
        assert isinstance(error, Queued) and error.item["reason"] == "route_stage_away"
        await services.inference.drain(30)
