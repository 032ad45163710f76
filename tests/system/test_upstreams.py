"""Real engines behind one appliance: llama.cpp's own server, and another appliance behind TLS."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from appliance.app import Services
from appliance.config import AuditConfig, Config, UpstreamConfig
from appliance.errors import ApplianceError
from appliance.types import GenerationRequest, ModelKind
from tests.engines import (
    Running,
    appliance,
    contract,
    llama_server,
    perturbed,
    queue_of,
    tokens_of,
)
from tests.minilm import WIDTH, MiniLm
from tests.routing.upstreams.site import all_hops, answer, caller, chat, entries, ready
from tests.smol import ID


@pytest.fixture(scope="module")
def stock(default_model_path: Path) -> Iterator[Running]:
    with llama_server(default_model_path) as running:
        yield running


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, default_model_path: Path) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("other")
    with appliance(root, default_model_path) as running:
        shutil.copyfile(root / "data" / "tls" / "ca.pem", root / "ca.pem")
        shutil.copyfile(root / "data" / "audit" / "genesis.pub", root / "genesis.pub")
        yield running


def settings(stock: Running, other: Running, root: Path) -> Config:
    return Config(
        audit=AuditConfig(ballast_mib=0),
        upstreams={
            "stock": UpstreamConfig("llama-server", (stock.url,), "any", n_ctx=512, slots=2),
            "other": UpstreamConfig(
                "appliance", (other.url,), ID, n_ctx=512, slots=2,
                ca=str(root / "ca.pem"), api_key=str(root / "key"),
                genesis=(str(root / "genesis.pub"),),
            ),
        },
    )  # fmt: skip


async def test_both_answer_as_models(
    tmp_path: Path, stock: Running, other: Running, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ca = next(tmp_path_factory.getbasetemp().glob("other*/ca.pem"))
    shutil.copyfile(ca, tmp_path / "ca.pem")
    shutil.copyfile(ca.with_name("genesis.pub"), tmp_path / "genesis.pub")
    (tmp_path / "key").write_text(other.key)
    async with ready(tmp_path / "d", settings(stock, other, tmp_path)) as services:
        asked = 0
        for name in ("stock", "other"):
            assert services.upstreams.get(name).hosts[0].state == "ready"
            asked += await contract(services, name)
        outcomes = entries(services, "outcome")
        assert {outcome["status"] for outcome in outcomes} == {"ok"} and len(outcomes) == asked
        for outcome in outcomes:
            host = outcome["answered_by"]
            assert (host["upstream"], "receipt" in host) in (("stock", False), ("other", True))
            assert host["upstream"] == "stock" or host["receipt"]["standing"] == "checked"
        hops = all_hops(services)
        assert [hop["event"] for hop in hops] == ["sent", "answered"] * asked
        for name in ("stock", "other"):
            await tokens_of(services, name)
        told = [hop for hop in all_hops(services) if hop.get("asks") == "tokens"]
        assert [hop["event"] for hop in told] == ["sent", "answered"] * 10
        await queue_of(services, "stock")
        # Another appliance says which weights answer; its digest is in the fingerprint.
        known = services.upstreams.get("other").known
        assert known is not None and known.system.startswith("fp_")


TEXTS = ("The pump leaks.", "Paris is the capital of France.", "Bread is baked in an oven.")


async def test_vectors_of_both_are_those_of_the_published_model(
    tmp_path: Path, embedder_path: Path
) -> None:
    request = GenerationRequest("stock", texts=TEXTS)
    wanted = [MiniLm.fetched().embedding(text) for text in TEXTS]
    async with pooled(tmp_path, embedder_path, "embed") as services:
        for name in ("stock", "other"):
            card = services.upstream_backends.card(name)
            assert (card.kind, card.n_embd) == ("embed", WIDTH)
            pieces = await answer(services, caller(), replace(request, model=name))
            for piece, vector in zip(pieces, wanted, strict=True):
                found = np.frombuffer(piece.vector, "<f4")
                assert found @ vector > 0.999 and abs(np.linalg.norm(found) - 1) < 1e-6
            assert 0 < pieces[-1].prompt < 60
            with pytest.raises(ApplianceError) as caught:
                long = replace(request, model=name, texts=("word " * 2000,))
                await answer(services, caller(), long)
            assert caught.value.code == "context_length_exceeded"
            assert services.upstreams.get(name).hosts[0].state == "ready"


async def test_documents_of_both_are_in_the_order_of_the_published_model(
    tmp_path: Path, reranker_path: Path
) -> None:
    query = "What is the capital of France?"
    async with pooled(tmp_path, reranker_path, "rerank") as services:
        for name in ("stock", "other"):
            asked = GenerationRequest(name, texts=TEXTS, query=query)
            pieces = await answer(services, caller(), asked)
            scores = [float(np.frombuffer(piece.vector, "<f4")[0]) for piece in pieces]
            assert scores[1] > 0 > scores[0] > scores[2]  # they join the two texts differently


@asynccontextmanager
async def pooled(root: Path, model: Path, does: ModelKind) -> AsyncIterator[Services]:
    with (
        llama_server(model, kind=does) as stock,
        appliance(root / "other", model) as other,
    ):
        shutil.copyfile(root / "other" / "data" / "tls" / "ca.pem", root / "ca.pem")
        shutil.copyfile(root / "other" / "data" / "audit" / "genesis.pub", root / "genesis.pub")
        (root / "key").write_text(other.key)
        wanted = settings(stock, other, root)
        upstreams = {name: replace(one, does=does) for name, one in wanted.upstreams.items()}
        async with ready(root / "d", replace(wanted, upstreams=upstreams)) as services:
            yield services
            assert {one["status"] for one in entries(services, "outcome")} <= {"ok", "error"}
            for outcome in entries(services, "outcome"):
                by = outcome["answered_by"] if outcome["status"] == "ok" else {}
                if by.get("upstream") == "other":
                    assert by["receipt"]["standing"] == "checked"


async def test_other_weights_behind_one_name_trip(
    tmp_path: Path, stock: Running, default_model_path: Path
) -> None:
    """The last test of the stock server: it is ended, and another one takes its port."""
    only = Config(
        audit=AuditConfig(ballast_mib=0),
        upstreams={"stock": UpstreamConfig("llama-server", (stock.url,), "any", n_ctx=512)},
    )
    async with ready(tmp_path / "d", only) as services:
        host = services.upstreams.get("stock").hosts[0]
        await services.upstreams.probe("uid:0", "stock")
        assert host.state == "ready"
        stock.kill()
        with pytest.raises(ApplianceError) as caught:
            await answer(services, caller(), chat(model="stock", max_tokens=2))
        assert caught.value.code in ("upstream_unavailable", "upstream_lost")
        await services.upstreams.probe("uid:0", "stock")
        assert host.state == "unreachable"
        port = int(stock.url.rpartition(":")[2])
        with llama_server(perturbed(default_model_path, tmp_path / "p.gguf"), port=port):
            await services.upstreams.probe("uid:0", "stock")
            assert host.state == "tripped"
            with pytest.raises(ApplianceError) as caught:
                await answer(services, caller(), chat(model="stock", max_tokens=2))
            assert caught.value.code == "upstream_unavailable"
        with llama_server(default_model_path, port=port):
            await services.upstreams.probe("uid:0", "stock")
            assert host.state == "ready"
