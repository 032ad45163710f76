"""An app reads its own use."""

from appliance.types import Limits
from tests.api.conftest import Lan
from tests.audit.logs import intent, outcome


async def test_a_key_reads_its_own_use_and_no_other(lan: Lan) -> None:
    limits = Limits(rpm=60, concurrency=3)
    key, secret = lan.services.keys.create("counted", models=["a"], limits=limits)
    lan.services.keys.note_usage(key.id, 7, 3)
    lan.services.keys.note_usage(lan.services.keys.list()[0].id, 100, 100)
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        found = (await client.get("/v1/usage")).json()
    assert found == {
        "object": "usage", "key": key.id, "name": "counted", "since": key.created_us // 1_000_000,
        "expires": None, "requests": 1, "prompt_tokens": 7, "completion_tokens": 3,
        "total_tokens": 10, "models": ["a"], "concurrency": 3,
        "request_quota": {"limit_per_minute": 60, "remaining": 60, "reset_seconds": 0},
        "token_quota": None, "periods": None, "uncounted": 0,
    }  # fmt: skip
    (asked,) = lan.services.audit.append(intent("mine", key_id=key.id)).result()
    lan.services.audit.append(outcome(asked.seq, "mine")).result()
    async with lan.anonymous(**{"x-api-key": secret}) as client:
        (hour,) = (await client.get("/v1/usage?per=hour")).json()["periods"]
    assert (hour["requests"], hour["period"][-4:]) == (1, ":00Z")
    async with lan.anonymous() as client:
        assert (await client.get("/v1/usage")).status_code == 401
