"""`/docs` opened with Chromium in a network namespace that has loopback and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.api.test_app import ROUTES
from tests.conftest import CHECKOUT, need_tool


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    program, unshare = need_tool("chromium"), need_tool("unshare")
    alone = [unshare, *(["-n"] if os.geteuid() == 0 else ["-r", "-n"])]
    command: list[str | Path] = [
        *alone, sys.executable, "-m", "tests.contract.docs_offline",
        tmp_path_factory.mktemp("docs") / "data", program,
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=CHECKOUT, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_the_page_shows_every_operation_without_a_network(told: dict[str, Any]) -> None:
    assert told["network"] == "ENETUNREACH"
    assert sorted(told["shown"]) == sorted(
        f"{method.lower()} {path.replace(':path', '')}"
        for path, methods in ROUTES.items()
        if not path.startswith(("/docs", "/openapi"))
        for method in methods
    )
    assert told["errors"] == 0


def test_nothing_is_asked_of_another_host(told: dict[str, Any]) -> None:
    elsewhere = {
        url
        for url in told["requested"]
        if not url.startswith("data:") and urlsplit(url).hostname != "127.0.0.1"
    }
    assert not elsewhere
    assert any(url.endswith("/docs/swagger-ui-bundle.js") for url in told["requested"])
    assert told["seen"]  # the control


def test_the_policy_hinders_nothing_of_the_page_and_blocks_other_hosts(
    told: dict[str, Any],
) -> None:
    assert told["complaints"] == []
    assert (told["answered"], told["tried"], told["blocked"]) == ("200", 200, "TypeError")
    assert any("violates" in text for text in told["complaints_then"])
