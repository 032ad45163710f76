"""Upstreams beside models: cards, names, and none where a model has the name."""

from pathlib import Path

import httpx
import pytest

from appliance.api.app import create_lan_app
from appliance.errors import NotFound, Unavailable
from tests.routing.upstreams.engine import Engine
from tests.routing.upstreams.site import BIG, answer, caller, chat, config, ready


async def test_an_upstream_is_a_model_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine().serve() as engine, ready(tmp_path / "d", config(engine.url)) as services:
        backends, upstream = services.upstream_backends, services.upstreams.get(BIG)
        (card,) = services.inference.cards(caller().principal)
        assert (card.id, card.digest, card.loaded) == (BIG, upstream.identity, True)
        assert (card.use, card.upstream, card.tools, card.json_schema) == (
            "chat", "vllm", True, True,
        )  # fmt: skip
        assert backends.slots(BIG) == 8 and backends.resolve(BIG, "k") == BIG
        with pytest.raises(NotFound):
            backends.card("nothing")
        # A drained upstream is there, and refuses.
        upstream.hosts[0].drained = True
        with pytest.raises(Unavailable) as caught:
            await answer(services, caller(), chat())
        assert caught.value.code == "upstream_unavailable"
        assert services.shares.inside(BIG) == 0
        upstream.hosts[0].drained = False
        await answer(services, caller(), chat())
        assert services.shares.inside(BIG) == 0
        # An artifact of the same name answers in its place.
        monkeypatch.setattr(services.upstreams, "_taken", lambda name: name == BIG)
        services.upstreams.refresh(upstream)
        assert backends.upstream(BIG) is None and backends.cards() == []
        with pytest.raises(NotFound):
            await answer(services, caller(), chat())


async def test_apps_get_calls_and_choices(tmp_path: Path) -> None:
    async with Engine().serve() as engine, ready(tmp_path / "d", config(engine.url)) as services:
        _, secret = services.keys.create("app")
        transport = httpx.ASGITransport(create_lan_app(services))
        headers = {"authorization": f"Bearer {secret}"}
        turn = {"role": "user", "content": "A pump leaks."}
        function = {"name": "order", "parameters": {"type": "object"}}
        body = {
            "model": BIG,
            "messages": [turn],
            "tools": [{"type": "function", "function": function}],
        }
        async with httpx.AsyncClient(
            transport=transport, base_url="http://lan", headers=headers
        ) as client:
            engine.mode = "calls"
            (choice,) = (await client.post("/v1/chat/completions", json=body)).json()["choices"]
            (call,) = choice["message"]["tool_calls"]
            assert call["function"] == {"name": "order", "arguments": '{"part": "pump"}'}
            assert choice["message"]["reasoning_content"] == "It leaks."
            assert choice["finish_reason"] == "tool_calls"
            streamed = await client.post("/v1/chat/completions", json={**body, "stream": True})
            assert '"name":"order"' in streamed.text and "[DONE]" in streamed.text
            assert '"finish_reason":"tool_calls"' in streamed.text
            engine.mode = "several"
            asked = {"model": BIG, "prompt": "Name one: ", "n": 2, "echo": True, "max_tokens": 9}
            told = (await client.post("/v1/completions", json=asked)).json()
            texts = [one["text"] for one in told["choices"]]
            assert texts == ["Name one: choice 0", "Name one: choice 1"]
            assert told["usage"]["prompt_tokens_details"]["cached_tokens"] == 8
