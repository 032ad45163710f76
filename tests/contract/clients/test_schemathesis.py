"""`schemathesis run` over the whole of `/openapi.json`, with a valid key, against the server.

No answer is a server's fault, the document describes each, and each operation gives a documented
200. It sends the document's own examples, the edges of every schema, and invented bodies.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
)
# Nothing waits for a person here, so no made-up request can name an item;
# tests/routing/test_people.py has their answers.
ABSENT = {
    "GET /v1/queue/{item_id}", "POST /v1/queue/{item_id}/answer", "GET /ca.pem",
}  # fmt: skip
"""Operations on what this server has not: no item waits, and it serves no TLS."""
EXAMPLES = os.environ.get("CONTRACT_EXAMPLES", "10")
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def report(server: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    root, key = server.base_url.removesuffix("/v1"), f"Bearer {server.api_key}"
    asked = httpx.post(
        f"{server.base_url}/completions", headers={"authorization": key}, timeout=60,
        json={"model": server.model, "prompt": "Hello", "max_tokens": 1},
    )  # fmt: skip
    directory = tmp_path_factory.mktemp("schemathesis")
    command: list[str | Path] = [
        Path(sys.executable).with_name("schemathesis"), "run", f"{root}/openapi.json",
        "--header", f"authorization: {key}", "--checks", ",".join(CHECKS),
        "--max-examples", EXAMPLES, "--seed", "1", "--no-color", "--continue-on-failure",
        "--phases", "examples,coverage,fuzzing", "--request-timeout", "120",
        "--report-ndjson-path", directory / "report.ndjson",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
        "PYTHONPATH": str(Path(__file__).parent),
        "CONTRACT_REQUEST": asked.headers["x-request-id"],
    }
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=directory, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-1000:]
    events = map(json.loads, (directory / "report.ndjson").read_text().splitlines())
    return [e["ScenarioFinished"]["recorder"] for e in events if "ScenarioFinished" in e]


@pytest.mark.timeout(1500)
def test_each_operation_gave_an_answer_that_the_document_describes(
    server: Any, report: list[Any]
) -> None:
    answered: dict[str, Counter[int]] = {}
    for operation in report:
        statuses = answered.setdefault(operation["label"], Counter())
        statuses.update(
            i["response"]["status_code"] for i in operation.get("interactions", {}).values()
        )
    document = httpx.get(server.base_url.removesuffix("/v1") + "/openapi.json").json()
    assert set(answered) == {
        f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item
    }
    never = {n: s for n, s in answered.items() if not s[404 if n in ABSENT else 200]}
    failed = {n: s for n, s in answered.items() if any(status >= 500 for status in s)}
    assert (never, failed) == ({}, {})
