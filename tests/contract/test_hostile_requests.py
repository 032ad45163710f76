"""Requests that brought other servers down: each is a named 4xx, and the next one is answered."""

from typing import Any

import httpx
import pytest

from tests.contract.conftest import Live

pytestmark = pytest.mark.xdist_group("the servers of tests/contract")

# As text, which guided_json takes too: Python writes no object that deep.
DEEP = '{"type":"object","properties":{"a":' * 900 + "{}" + "}}" * 900
# Other servers answer it with an exception of their translation to a grammar.
ENDLESS = "^+x$"
HOSTILE: dict[str, tuple[dict[str, Any], int, str]] = {
    "a grammar of 60,000 levels": ({"grammar": "(" * 60_000}, 400, "unsupported_parameter"),
    "an expression of 60,000 levels": ({"guided_regex": "(" * 60_000}, 400, "invalid_"),
    "a schema of 900 levels": ({"guided_json": DEEP}, 400, "invalid_"),
    "a pattern that repeats its own beginning": (
        {"response_format": {"type": "json_schema", "json_schema": {
            "name": "x", "schema": {"type": "string", "pattern": ENDLESS},
        }}}, 400, "invalid_schema",
    ),
    "the same as an expression": ({"guided_regex": ENDLESS}, 400, "invalid_schema"),
    "a negative number of choices": ({"n": -1}, 400, "invalid_value"),
    "a path for a model": ({"model": "../../etc/passwd"}, 404, "model_not_found"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused_and_the_next_is_answered(
    live_server: Live, name: str
) -> None:
    change, status, code = HOSTILE[name]
    plain = {
        "model": live_server.model,
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 1,
    }
    headers = {"authorization": f"Bearer {live_server.api_key}"}
    with httpx.Client(base_url=live_server.base_url, headers=headers, timeout=60) as client:
        refused = client.post("/chat/completions", json={**plain, **change})
        assert refused.status_code == status
        assert refused.json()["error"]["code"].startswith(code)
        assert client.post("/chat/completions", json=plain).status_code == 200
