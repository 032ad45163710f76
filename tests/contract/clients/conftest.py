"""The server that `tests/contract/test_clients.py` started, as these tests are told of it.

They run in the environments of `lock-clients.txt`, `lock-inspect.txt` and `lock-frameworks.txt`,
where nothing of the product can be imported.
"""

import os
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Server:
    """Where it is, and a key."""

    base_url: str
    api_key: str
    model: str
    embedder: str
    reranker: str
    task: str


@pytest.fixture(scope="session")
def server() -> Server:
    """The running server."""
    return Server(
        os.environ["CONTRACT_URL"],
        os.environ["OPENAI_API_KEY"],
        os.environ["CONTRACT_MODEL"],
        os.environ["CONTRACT_EMBEDDER"],
        os.environ["CONTRACT_RERANKER"],
        os.environ["CONTRACT_TASK"],
    )
