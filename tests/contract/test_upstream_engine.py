"""Any running engine as an upstream: `make test-upstream KIND=vllm URL=http://127.0.0.1:8000
MODEL=m`.

vLLM is not locked for the tests: its build of torch is on no package index that they may ask. How
it is started without a network: docs/scaling-guide.md.
"""

import os
from pathlib import Path

import pytest

from appliance.config import AuditConfig, Config, UpstreamConfig
from tests.engines import contract
from tests.routing.upstreams.site import entries, ready

_GIVEN = {name: os.environ.get(f"UPSTREAM_{name}", "") for name in ("KIND", "URL", "MODEL")}


@pytest.mark.skipif(not all(_GIVEN.values()), reason="make test-upstream KIND= URL= MODEL=")
async def test_the_engine_answers_as_an_upstream(tmp_path: Path) -> None:
    """Learnt, approved, probed twice; requests with whole answers and a record of each."""
    upstream = UpstreamConfig(_GIVEN["KIND"], (_GIVEN["URL"],), _GIVEN["MODEL"], n_ctx=512, slots=4)
    wanted = Config(audit=AuditConfig(ballast_mib=0), upstreams={"engine": upstream})
    async with ready(tmp_path / "d", wanted) as services:
        asked = await contract(services, "engine")
        await services.upstreams.probe("uid:0", "engine")
        assert services.upstreams.get("engine").hosts[0].state == "ready"
        assert [hop["event"] for hop in entries(services, "hop")] == ["sent", "answered"] * asked
