"""Any running engine as an upstream: `make test-upstream KIND=vllm URL=http://127.0.0.1:8000
MODEL=m`.

vLLM is not locked for the tests: its build of torch is on no package index that they may ask. Its
start without a network: docs/scaling-guide.md.
"""

import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from appliance.config import AuditConfig, Config, UpstreamConfig
from appliance.types import GenerationRequest, ModelKind
from tests.engines import contract, queue_of, tokens_of
from tests.routing.upstreams.site import all_hops, answer, caller, ready

_GIVEN = {name: os.environ.get(f"UPSTREAM_{name}", "") for name in ("KIND", "URL", "MODEL")}
_DOES = msgspec.convert(os.environ.get("UPSTREAM_DOES", "generate"), ModelKind)
_TEXTS = ("The pump leaks.", "Paris is the capital of France.", "The pump leaks.")

pytestmark = pytest.mark.skipif(
    not all(_GIVEN.values()), reason="make test-upstream KIND= URL= MODEL= DOES="
)


@pytest.mark.skipif(_DOES != "generate", reason="the engine writes no text")
async def test_the_engine_answers_as_an_upstream(tmp_path: Path) -> None:
    upstream = UpstreamConfig(_GIVEN["KIND"], (_GIVEN["URL"],), _GIVEN["MODEL"], n_ctx=512, slots=4)
    wanted = Config(audit=AuditConfig(ballast_mib=0), upstreams={"engine": upstream})
    async with ready(tmp_path / "d", wanted) as services:
        asked = await contract(services, "engine")
        await services.upstreams.probe("uid:0", "engine")
        assert services.upstreams.get("engine").hosts[0].state == "ready"
        assert [hop["event"] for hop in all_hops(services)] == ["sent", "answered"] * asked
        if services.upstreams.get("engine").kind.tokenize is not None:
            await tokens_of(services, "engine")
        if services.upstreams.get("engine").kind.queue:
            await queue_of(services, "engine")


@pytest.mark.skipif(_DOES == "generate", reason="the engine writes text")
async def test_its_vectors_and_scores_belong_to_their_texts(tmp_path: Path) -> None:
    upstream = UpstreamConfig(
        _GIVEN["KIND"], (_GIVEN["URL"],), _GIVEN["MODEL"], n_ctx=512, slots=4, does=_DOES
    )
    wanted = Config(audit=AuditConfig(ballast_mib=0), upstreams={"engine": upstream})
    query = "Which city is the capital of France?" if _DOES == "rerank" else None
    async with ready(tmp_path / "d", wanted) as services:
        asked = GenerationRequest("engine", texts=_TEXTS, query=query)
        pieces = await answer(services, caller(), asked)
        first, other, again = (np.frombuffer(piece.vector, "<f4") for piece in pieces)
        assert np.allclose(first, again, atol=1e-2) and not np.allclose(first, other, atol=1e-2)
        assert query is not None or abs(np.linalg.norm(first) - 1) < 1e-6
        await services.upstreams.probe("uid:0", "engine")
        assert services.upstreams.get("engine").hosts[0].state == "ready"
        assert [hop["event"] for hop in all_hops(services)] == ["sent", "answered"]
