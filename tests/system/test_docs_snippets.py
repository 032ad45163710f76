"""The examples in the guides are true: each marked block is executed, in the order of the page.

A block counts when the line before its fence is `<!-- tested -->`. Blocks of one page share a
directory, as they would for a person who follows it; each runs in a process of its own.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP_GUIDE = ROOT / "docs" / "app-guide.md"
ADMIN_GUIDE = ROOT / "docs" / "admin-guide.md"
_MARK = "<!-- tested -->"
_BLOCK = re.compile(rf"^{_MARK}\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMANDS = {"python": [sys.executable, "-W", "error", "-"], "sh": ["/bin/sh", "-eu"]}


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is where its code begins."""

    language: str
    code: str
    line: int


def blocks(text: str) -> list[Block]:
    """The marked blocks of a page, in order."""
    return [
        Block(match[1], match[2], text.count("\n", 0, match.start(2)) + 1)
        for match in _BLOCK.finditer(text)
    ]


def follow(page: Path, directory: Path, variables: Mapping[str, str]) -> list[str]:
    """Execute a page's blocks; what each printed. Every block must succeed and print."""
    text = page.read_text(encoding="utf-8")
    found = blocks(text)
    assert len(found) == text.count(f"{_MARK}\n"), "a mark without a block"
    return [execute(block, directory, variables) for block in found]


def execute(block: Block, directory: Path, variables: Mapping[str, str]) -> str:
    """Run one block; what it printed."""
    done = subprocess.run(
        _COMMANDS[block.language],
        input=block.code,
        capture_output=True,
        text=True,
        cwd=directory,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", **variables},
        timeout=300,
        check=False,
    )
    told = f"line {block.line}, exit {done.returncode}:\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, told
    assert done.stdout.strip(), told
    return done.stdout


def test_admin_guide(tmp_path: Path, default_model_path: Path) -> None:
    artifact = tmp_path / "pump-assistant"
    artifact.mkdir()
    shutil.copyfile(default_model_path, artifact / "model.gguf")
    printed = follow(ADMIN_GUIDE, tmp_path, {"APPLIANCE_DATA": str(tmp_path / "data")})
    told = "\n".join(printed)
    assert "[+] approved" in told
    assert "sk-" in told
    assert "[+] verified: seq 0 root" in told


def test_a_failing_and_a_silent_example_are_noticed(tmp_path: Path) -> None:
    for number, code in enumerate(
        ("raise SystemExit(3)\n", "import warnings; warnings.warn('old')\n", "pass\n")
    ):
        page = tmp_path / f"{number}.md"
        page.write_text(f"text\n\n{_MARK}\n```python\n{code}```\n", encoding="utf-8")
        with pytest.raises(AssertionError, match="line 5, exit"):
            follow(page, tmp_path, {})


def test_a_mark_that_is_not_at_a_block_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{_MARK}\n\n```python\nprint(1)\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="a mark without a block"):
        follow(page, tmp_path, {})
