"""The examples in the guides are true: each marked block is executed, in the order of the page.

A block counts when the line before its fence is `<!-- tested -->`, or `<!-- tested beside a
server -->` when it comes after `appliance serve`; the app guide is for
tests/contract/test_guide.py. Blocks of one page share a directory; each runs in a process of its
own.
"""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.app import open_services
from appliance.wire.openai.receipts import EntryRef, ReceiptResponse
from tests.audit.logs import ask
from tests.conftest import need_tool
from tests.forked import FORKING

ROOT = Path(__file__).parents[2]
APP_GUIDE = ROOT / "docs" / "app-guide.md"
AUDITOR_GUIDE = ROOT / "docs" / "auditor-guide.md"
ADMIN_GUIDE = ROOT / "docs" / "admin-guide.md"
ALONE, SERVED = "<!-- tested -->", "<!-- tested beside a server -->"
CLIENT = "<!-- tested with its client -->"
MODEL = "pump-assistant"
COMMANDS: Mapping[str, Sequence[str]] = {
    "python": [sys.executable, "-W", "error", "-"],
    "sh": ["/bin/sh", "-eu"],
}
_PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"
_LISTENING = re.compile(r"listening on (http://\S+)")


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    line: int


def blocks(text: str, mark: str) -> list[Block]:
    block = re.compile(rf"^{mark}\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [
        Block(match[1], match[2], text.count("\n", 0, match.start(2)) + 1)
        for match in block.finditer(text)
    ]


def follow(
    page: Path,
    directory: Path,
    variables: Mapping[str, str],
    mark: str = ALONE,
    commands: Mapping[str, Sequence[str]] = COMMANDS,
) -> list[str]:
    """Execute a page's blocks; what each printed. Every block must succeed and print."""
    text = page.read_text(encoding="utf-8")
    found = blocks(text, mark)
    assert len(found) == text.count(f"{mark}\n"), "a mark without a block"
    return [execute(block, directory, variables, commands) for block in found]


def execute(
    block: Block,
    directory: Path,
    variables: Mapping[str, str],
    commands: Mapping[str, Sequence[str]] = COMMANDS,
) -> str:
    done = subprocess.run(
        commands[block.language],
        input=block.code,
        capture_output=True,
        text=True,
        cwd=directory,
        env={"PATH": f"{FORKING.typed()}:{_PATH}", **variables},
        timeout=300,
        check=False,
    )
    told = f"line {block.line}, exit {done.returncode}:\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, told
    assert done.stdout.strip(), told
    return done.stdout


@contextmanager
def served(data: Path, model: str = MODEL) -> Iterator[str]:
    process = subprocess.Popen(
        ["appliance", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": _PATH, "APPLIANCE_DATA": str(data)},
    )
    log = process.stderr
    assert log is not None
    try:
        address = None
        for line in log:
            if match := _LISTENING.search(line):
                address = match[1]
            assert "not loaded" not in line, line
            if f"serving {model}" in line:
                break
        assert address is not None, "the server ended"
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        with log:
            rest = log.read()
        assert process.wait(60) == 0, rest


def test_the_admins_guide_from_an_empty_directory_to_a_server_that_is_ready(
    tmp_path: Path, default_model_path: Path
) -> None:
    need_tool("curl")
    (tmp_path / MODEL).mkdir()
    shutil.copyfile(default_model_path, tmp_path / MODEL / "model.gguf")
    data = {"APPLIANCE_DATA": str(tmp_path / "data")}

    alone = "\n".join(follow(ADMIN_GUIDE, tmp_path, data))
    assert "[+] approved" in alone
    assert "[+] verified: seq 0 root" in alone

    with served(tmp_path / "data"):
        told = follow(ADMIN_GUIDE, tmp_path, data, SERVED)
        assert "[+] ready" in told[-1]


def test_the_auditors_guide_on_two_machines(tmp_path: Path) -> None:
    """The appliance's commands and the auditor's, with another directory in place of the stick."""
    data, desk, stick = tmp_path / "data", tmp_path / "desk", tmp_path / "stick"
    stick.mkdir()
    environment = {"APPLIANCE_DATA": str(data)}
    execute(Block("sh", "appliance init", 0), tmp_path, environment)
    with open_services(data) as services:
        asked, _ = ask(services.audit, "req-1")
        reader = services.reader
        intent, outcome = reader.find_request("req-1", "k1")
        assert outcome is not None and asked.seq == intent.seq
        receipt = ReceiptResponse(
            request_id="req-1",
            intent=EntryRef(seq=intent.seq, leaf=intent.leaf.hex()),
            outcome=EntryRef(seq=outcome.seq, leaf=outcome.leaf.hex()),
            proof=reader.proof(outcome.seq).decode(),
            checkpoint=reader.checkpoint(),
        )
    desk.mkdir()
    shutil.copyfile(data / "audit" / "genesis.pub", desk / "genesis.pub")
    (desk / "receipt.json").write_text(receipt.model_dump_json())
    (desk / "words").write_text("correct horse battery\n")
    for name in ("verify_export.py", "verify_receipt.py", "witness.py"):
        (desk / name).symlink_to(stick / "tools" / name)
    page = AUDITOR_GUIDE.read_text(encoding="utf-8")
    said = []
    for block in blocks(page, ALONE):
        typed = block.code.replace("/mnt/stick", str(stick)).replace("LEAF", outcome.leaf.hex())
        typed = typed.replace("witness.pub", "desk/witness.pub")  # it was carried to the appliance
        said.append(execute(Block("sh", typed, block.line), desk, environment))
    assert len(said) == page.count(ALONE) == 5
    told = "\n".join(said)
    for words in ("is verified: ", "The receipt holds", "Cosigned: ", "verified: witnessed "):
        assert words in told, words


@pytest.mark.parametrize(
    "code", ["raise SystemExit(3)", "import warnings; warnings.warn('old')", "pass"]
)
def test_a_failing_and_a_silent_example_are_noticed(tmp_path: Path, code: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"text\n\n{ALONE}\n```python\n{code}\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="line 5, exit"):
        follow(page, tmp_path, {})


def test_a_mark_that_is_not_at_a_block_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{ALONE}\n\n```python\nprint(1)\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match="a mark without a block"):
        follow(page, tmp_path, {})
