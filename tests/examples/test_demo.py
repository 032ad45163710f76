"""`make demo` as it runs, and its words when a step fails."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.__main__ import main
from examples.demo import DemoError, command, wait_until_ready
from tests.conftest import CHECKOUT
from tests.ports import free_port


def without_values(text: str) -> list[str]:
    """Its lines without numbers, hashes and directories."""
    return re.sub(r"[0-9a-f]{64}|\d+|/\S+/", "…", text).split("\n")


def test_the_demo_ends_with_an_answer_and_a_verified_receipt(
    default_model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, so that its commands are forked."""
    monkeypatch.setattr(
        sys, "argv", ["examples", "demo", "--model", str(default_model_path.parent)]
    )
    assert main() == 0
    out = capsys.readouterr().out
    story, last_block = out.rsplit("\n\n", 1)
    assert last_block.startswith("receipt verified: seq ")
    assert "pump" in story.split("POST /v1/chat/completions", 1)[1]
    (shown,) = re.findall(r"```text\n(.*?)```", (CHECKOUT / "README.md").read_text(), re.DOTALL)
    lines = without_values(shown)
    assert without_values(out.replace("\n\n", "\n"))[-len(lines) :] == lines


def test_a_step_that_fails_ends_the_demo(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="model"):
        command(tmp_path, "model", "list")


def test_a_server_that_ends_is_noticed() -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    process.wait()
    with pytest.raises(DemoError, match="3"):
        wait_until_ready(process, free_port())
