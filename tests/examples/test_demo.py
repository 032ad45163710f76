"""`make demo` as it runs, and what it says when a step fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from examples.demo import DemoError, command, free_port, wait_until_ready


def test_the_demo_ends_with_an_answer_and_a_verified_receipt(default_model_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples", "demo", "--model", str(default_model_path.parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    story, last_block = done.stdout.rsplit("\n\n", 1)
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
