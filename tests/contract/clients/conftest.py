"""The server that `tests/contract/test_clients.py` started.

These tests run in the environments of `lock-clients.txt`, `lock-inspect.txt` and
`lock-frameworks.txt`, where nothing of the product can be imported.
"""

import json
import os
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.request import urlopen

import pytest

PASSED: dict[str, bool] = {}
"""Tests in words, and whether all their cases passed."""
_BESIDE = {"httpx", "httpx2", "pydantic", "pytest", "requests"}
"""Packages that tests import, and that are no clients."""


@dataclass(frozen=True)
class Server:
    base_url: str
    api_key: str
    other_key: str
    model: str
    embedder: str
    reranker: str
    task: str

    def restart(self) -> None:
        """Kill it; it serves again when this returns."""
        urlopen(os.environ["CONTRACT_RESTART"], data=b"", timeout=300).close()


@pytest.fixture(scope="session")
def server() -> Server:
    return Server(
        os.environ["CONTRACT_URL"],
        os.environ["OPENAI_API_KEY"],
        os.environ["CONTRACT_OTHER_KEY"],
        os.environ["CONTRACT_MODEL"],
        os.environ["CONTRACT_EMBEDDER"],
        os.environ["CONTRACT_RERANKER"],
        os.environ["CONTRACT_TASK"],
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a test that passed; one that was skipped says nothing."""
    if report.when == "call" and not report.skipped:
        words = report.location[2].partition("[")[0].removeprefix("test_").replace("_", " ")
        PASSED[words] = PASSED.get(words, True) and report.passed


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell which clients were seen, for `tests/contract/seen.py`."""
    out = os.environ.get("CONTRACT_SEEN")
    files = {item.path for item in session.items}
    if out is None or len(files) != 1:
        return
    file = files.pop()
    imported = re.findall(r"^(?:from|import) (\w+)", file.read_text("utf-8"), re.MULTILINE)
    imported.append(file.stem.removeprefix("test_"))  # one that is run as a command
    owners = metadata.packages_distributions()
    foreign = set(imported) - set(sys.stdlib_module_names) - _BESIDE
    names = {owners[name][0] for name in foreign if name in owners}
    clients = {name: metadata.version(name) for name in sorted(names)}
    passed = [words for words, good in PASSED.items() if good]
    Path(out).write_text(json.dumps({"clients": clients, "passed": passed}), encoding="utf-8")
