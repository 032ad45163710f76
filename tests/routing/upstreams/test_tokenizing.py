"""`/tokenize` and `/detokenize` of models on other hosts, and their log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.app import Services
from appliance.errors import UpstreamLost
from appliance.routing.upstreams.events import Spelt, TokenIds, decode
from tests.routing.upstreams.engine import NEVER, Engine
from tests.routing.upstreams.site import BIG, config, entries, ready

TEXT = "A pump leaks."


@asynccontextmanager
async def asking(
    data: Path, kind: str = "vllm", **more: Any
) -> AsyncIterator[tuple[Engine, Services, httpx.AsyncClient]]:
    async with (
        Engine().serve() as engine,
        ready(data, config(engine.url, kind=kind, **more)) as services,
    ):
        engine.requests.clear()
        _, secret = services.keys.create("app")
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(create_lan_app(services)),
            base_url="http://lan",
            headers={"authorization": f"Bearer {secret}"},
        ) as client:
            yield engine, services, client


async def test_a_text_and_its_tokens(tmp_path: Path) -> None:
    async with asking(tmp_path / "d") as (engine, services, client):
        asked = {"model": BIG, "prompt": TEXT, "return_token_strs": True}
        told = (await client.post("/tokenize", json=asked)).json()
        assert (told["tokens"], told["count"]) == (list(TEXT.encode()), len(TEXT))
        assert told["token_strs"] == list(TEXT) and told["max_model_len"] == 8192
        back = await client.post("/detokenize", json={"model": BIG, "tokens": told["tokens"]})
        assert back.json() == {"prompt": TEXT}
        turn = {"role": "user", "content": TEXT}
        # The only model that the key may use is meant without its name.
        chat = await client.post("/tokenize", json={"messages": [turn]})
        assert chat.json()["tokens"] == told["tokens"]
        info = await client.get("/tokenizer_info", params={"model": BIG})
        assert info.json()["error"]["code"] == "upstream_unsupported"
        first, second, third = engine.requests
        assert first.body == {
            "model": "there", "prompt": TEXT, "add_special_tokens": True, "return_token_strs": True,
        }  # fmt: skip
        assert second.body == {"model": "there", "tokens": told["tokens"]}
        assert third.body["messages"] == [turn]
        hops = entries(services, "hop")
        assert [hop["event"] for hop in hops] == ["sent", "answered"] * 3
        assert {hop["asks"] for hop in hops} == {"tokens"}
        assert TEXT not in str(hops) and not entries(services, "intent")
        assert services.shares.inside(BIG) == 0


async def test_an_engine_that_renders_a_chat_elsewhere(tmp_path: Path) -> None:
    async with asking(tmp_path / "d", "llama-server") as (engine, _, client):
        engine.reply = lambda request: (
            {"prompt": "<begin>Hi"} if request.path == "/apply-template" else None
        )
        asked = {"model": BIG, "messages": [{"role": "user", "content": "Hi"}]}
        told = (await client.post("/tokenize", json=asked)).json()
        assert told["tokens"] == list(b"<begin>Hi")
        assert [one.path for one in engine.requests] == ["/apply-template", "/tokenize"]


async def test_what_is_refused_sends_nothing(tmp_path: Path) -> None:
    for kind in ("ollama", "sglang", "openai"):
        async with asking(tmp_path / kind, kind) as (engine, services, client):
            for path, wanted in (("/tokenize", {"prompt": "Hi"}), ("/detokenize", {"tokens": [1]})):
                refused = await client.post(path, json={"model": BIG, **wanted})
                assert refused.json()["error"]["code"] == "upstream_unsupported"
            assert not engine.requests and not entries(services, "hop")
    async with asking(tmp_path / "kept") as (engine, services, client):
        _, secret = services.keys.create("off", content="off")
        headers = {"authorization": f"Bearer {secret}"}
        asked = {"model": BIG, "prompt": "Hi"}
        refused = await client.post("/tokenize", json=asked, headers=headers)
        assert refused.json()["error"]["code"] == "upstream_retention"
        assert not engine.requests and not entries(services, "hop")


async def test_a_host_that_tells_nonsense_is_a_failed_hop(tmp_path: Path) -> None:
    async with asking(tmp_path / "d") as (engine, services, client):
        for told in (
            {"tokens": [-1]}, {"tokens": "x"}, {"tokens": [1], "token_strs": []},
            b"HTTP/1.1 500 x\r\n\r\n",
        ):  # fmt: skip
            engine.reply = lambda request, told=told: told
            asked = {"model": BIG, "prompt": "Hi", "return_token_strs": True}
            assert (await client.post("/tokenize", json=asked)).status_code >= 500
        assert [hop["event"] for hop in entries(services, "hop")] == ["sent", "failed"] * 4
        assert services.shares.inside(BIG) == 0


async def test_a_host_that_says_nothing_is_a_failed_hop_of_its(tmp_path: Path) -> None:
    async with asking(tmp_path / "d", idle_seconds=1) as (engine, services, client):
        engine.reply = lambda request: NEVER
        reply = await client.post("/tokenize", json={"model": BIG, "prompt": "Hi"})
        assert reply.json()["error"]["code"] == "upstream_timeout"
        _, failed = entries(services, "hop")
        assert (failed["event"], failed["code"]) == ("failed", "upstream_timeout")
        assert services.upstreams.get(BIG).hosts[0].health.problem


def test_the_forms_that_engines_tell() -> None:
    pieces = decode(b'{"tokens":[{"id":1,"piece":"a"},{"id":2,"piece":[195]}]}', TokenIds)
    assert (pieces.ids, pieces.strings) == ([1, 2], [b"a", b"\xc3"])
    assert decode(b'{"content":"x"}', Spelt).text == decode(b'{"prompt":"x"}', Spelt).text == "x"
    with pytest.raises(UpstreamLost):
        _ = decode(b"{}", Spelt).text
