"""`llm`, the command: a prompt whole and streamed, a schema, a function."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def home(server: Any, tmp_path: Path) -> Path:
    """The directory of the command, where the appliance is named as its manual says."""
    named = {
        "model_id": "appliance",
        "model_name": server.model,
        "api_base": server.base_url,
        "api_key_name": "appliance",
        "supports_schema": True,
        "supports_tools": True,
    }
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([named]))
    (tmp_path / "keys.json").write_text(json.dumps({"appliance": server.api_key}))
    return tmp_path


def said(home: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "llm", "prompt", "-m", "appliance", "--no-log",
         "-o", "temperature", "0", "-o", "max_tokens", "60", *arguments],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env={"PATH": os.defpath, "HOME": str(home), "LLM_USER_PATH": str(home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_prompt_whole_and_streamed_says_the_same(home: Path) -> None:
    whole = said(home, "--no-stream", "Say hello.")
    assert whole.strip() and said(home, "Say hello.") == whole


def test_an_answer_to_a_schema(home: Path) -> None:
    told = json.loads(said(home, "--schema", "name str, open bool", "Valve V7 is open."))
    assert isinstance(told["name"], str) and isinstance(told["open"], bool)


def test_a_function_that_is_offered_is_taken(home: Path) -> None:
    function = (
        "def pressure(valve: str) -> str:\n    'The pressure at a valve.'\n    return '2.5'\n"
    )
    assert said(home, "--functions", function, "--chain-limit", "2", "What is the pressure at V7?")
