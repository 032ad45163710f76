"""`make demo` as it runs, and its words when a step fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from examples.__main__ import main
from examples.demo import DemoError, command, wait_until_ready
from tests.ports import free_port


def test_the_demo_ends_with_an_answer_and_a_verified_receipt(
    default_model_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, so that its commands are forked."""
    monkeypatch.setattr(
        sys, "argv", ["examples", "demo", "--model", str(default_model_path.parent)]
    )
    assert main() == 0
    story, last_block = capsys.readouterr().out.rsplit("\n\n", 1)
    assert last_block.startswith("receipt verified: seq ")
    assert "pump" in story.split("POST /v1/chat/completions", 1)[1]


def test_a_step_that_fails_ends_the_demo(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="model"):
        command(tmp_path, "model", "list")


def test_a_server_that_ends_is_noticed() -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    process.wait()
    with pytest.raises(DemoError, match="3"):
        wait_until_ready(process, free_port())
