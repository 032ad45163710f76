"""The examples of the app guide against `appliance serve` with models, tasks and a route."""

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import need_tool
from tests.contract.conftest import CITING, COLLECTION, EMBEDDER, ROUTE, TASK, Live
from tests.system.test_docs_snippets import (
    ALONE,
    APP_GUIDE,
    CLIENT,
    Block,
    blocks,
    execute,
    follow,
)

pytestmark = pytest.mark.xdist_group("the servers of tests/contract")

MARKS = (ALONE, CLIENT, "<!-- tested with a person -->")
SETS = ("MODEL", "EMBEDDER", "TASK", "CITING", "ROUTE", "COLLECTION")


def app(server: Live, directory: Path) -> dict[str, str]:
    given = {
        "OPENAI_BASE_URL": server.base_url,
        "OPENAI_API_KEY": server.api_key,
        "HOME": str(directory),
    }
    text = APP_GUIDE.read_text(encoding="utf-8")
    (chosen,) = (block for block in blocks(text, ALONE) if "export MODEL=" in block.code)
    shown = "\n".join(f'echo "{name}=${name}"' for name in SETS)
    told = execute(Block("sh", chosen.code + shown, chosen.line), directory, given)
    return given | dict(re.findall(r"(?m)^([A-Z]+)=(.*)$", told))


def test_every_example_on_an_appliance_with_several_models(
    three_models: Live, tmp_path: Path
) -> None:
    for tool in ("curl", "jq"):
        need_tool(tool)
    genesis = three_models.data / "audit" / "genesis.pub"
    shutil.copyfile(genesis, tmp_path / "genesis.pub")
    variables = app(three_models, tmp_path)
    assert [variables[name] for name in SETS] == [
        three_models.model, EMBEDDER, TASK, CITING, ROUTE, COLLECTION,
    ]  # fmt: skip
    printed = "\n".join(follow(APP_GUIDE, tmp_path, variables))
    for words in (
        "context_length_exceeded", "data: [DONE]", "hydraulics 0.", "manual.md Pumps",
        f"collection:{COLLECTION}/manual.md#bytes=", "'stage': 'large'",
        "access-control-allow-origin: https://intranet.example",
    ):  # fmt: skip
        assert words in printed, words
    assert re.search(r"\[\+\] verified: seq \d+ root [0-9a-f]{64}", printed)


def test_every_example_of_the_guide_is_run() -> None:
    text = APP_GUIDE.read_text(encoding="utf-8")
    marked = sum(len(blocks(text, mark)) for mark in MARKS)
    settings = text.count("```sh\nexport OPENAI_BASE_URL=")
    assert text.count("\n```") == 2 * (marked + settings)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_examples_for_node_langchain_and_llama_index(
    python: Path, packages: Path, three_models: Live, tmp_path: Path
) -> None:
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    commands = {
        "python": [str(python), "-"],
        "js": [need_tool("node"), "--input-type=module", "-"],
    }
    variables = app(three_models, tmp_path)
    node, chat, embeddings, index = follow(APP_GUIDE, tmp_path, variables, CLIENT, commands)
    assert node.strip() and index.strip()
    assert "open=" in chat
    assert embeddings == "384 numbers\n"
