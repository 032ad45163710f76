"""The unmodified packages of OpenAI and Anthropic, the AI SDK, LangChain, and those of the Model
Context Protocol, of npm from a lock with digests, against `appliance serve`.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import need_tool
from tests.contract.conftest import (
    COLLECTION,
    EMBEDDER,
    NODE,
    NODE_LOCK,
    TASK,
    Live,
    Record,
)
from tests.contract.seen import of_node


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("client.test.mjs", 9),
        ("ai-sdk.test.mjs", 17),
        ("langchain.test.mjs", 11),
        ("anthropic.test.mjs", 5),
        ("mcp.test.mjs", 4),
    ],
)
def test_the_packages_of_npm(
    packages: Path, three_models: Live, tmp_path: Path, name: str, count: int, record: Record
) -> None:
    node = need_tool("node")
    shutil.copyfile(NODE / name, tmp_path / name)
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    environment = {
        "PATH": os.defpath,
        "OPENAI_BASE_URL": three_models.base_url,
        "OPENAI_API_KEY": three_models.api_key,
        "CONTRACT_OTHER_KEY": three_models.other_key,
        "CONTRACT_MODEL": three_models.model,
        "CONTRACT_EMBEDDER": EMBEDDER,
        "CONTRACT_TASK": TASK,
        "CONTRACT_COLLECTION": COLLECTION,
    }
    with three_models.restarting() as restart:
        done = subprocess.run(
            [node, "--test", "--test-reporter", "tap", name],
            cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False,
            env={**environment, "CONTRACT_RESTART": restart},
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    assert f"# pass {count}" in done.stdout and "# fail 0" in done.stdout
    seen = of_node((NODE / name).read_text("utf-8"), done.stdout)
    assert seen.clients and len(seen.passed) == count
    record(name, seen)


def test_every_package_of_the_lock_has_a_digest() -> None:
    text = NODE_LOCK.read_text(encoding="utf-8")
    locked = {name: one for name, one in json.loads(text)["packages"].items() if name}
    assert locked
    assert all(one["integrity"].startswith("sha512-") for one in locked.values())
    assert not any("resolved" in one for one in locked.values())  # whichever registry there is
