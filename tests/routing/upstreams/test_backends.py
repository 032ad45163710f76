"""Upstreams beside models: cards, names, and none where a model has the name."""

from pathlib import Path

import pytest

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
            "chat", "vllm", False, True,
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
