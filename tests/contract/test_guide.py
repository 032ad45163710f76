"""The examples of the app guide that need a client of their own, against `appliance serve`."""

from pathlib import Path

import pytest

from tests.conftest import need_tool
from tests.contract.conftest import EMBEDDER, Live
from tests.system.test_docs_snippets import APP_GUIDE, CLIENT, follow


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_examples_for_node_langchain_and_llama_index(
    python: Path, packages: Path, three_models: Live, tmp_path: Path
) -> None:
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    variables = {
        "OPENAI_BASE_URL": three_models.base_url,
        "OPENAI_API_KEY": three_models.api_key,
        "MODEL": three_models.model,
        "EMBEDDER": EMBEDDER,
        "HOME": str(tmp_path),
    }
    commands = {
        "python": [str(python), "-"],
        "js": [need_tool("node"), "--input-type=module", "-"],
    }
    node, chat, embeddings, index = follow(APP_GUIDE, tmp_path, variables, CLIENT, commands)
    assert node.strip() and index.strip()
    assert "open=" in chat
    assert embeddings == "384 numbers\n"
