"""A host and a stick for one test; with INSTALL_RESULTS=1 the count of faults goes to the docs."""

import os
import re

import pytest

from tests.conftest import CHECKOUT
from tests.installer.bench import Bench

RESULTS = CHECKOUT / "docs" / "install-results.md"
FAULTS = re.compile(r"tests/installer/(test_faults|host/test_(commands|install|store))\.py")
_outcomes: dict[str, str] = {}


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("b"))  # short: a socket's path has 107 bytes


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if FAULTS.match(report.nodeid) and (report.when == "call" or not report.passed):
        _outcomes[report.nodeid] = report.outcome


def pytest_sessionfinish() -> None:
    if not os.environ.get("INSTALL_RESULTS") or not _outcomes:
        return
    survived = sum(outcome == "passed" for outcome in _outcomes.values())
    line = (
        f"Faults survived: {survived} of {len(_outcomes)} (each ends in “nothing changed” or "
        "“completed”)."
    )
    text = RESULTS.read_text() if RESULTS.exists() else "# Installing, measured\n"
    text = re.sub(r"\nFaults survived: .*\n", "", text)
    RESULTS.write_text(f"{text}\n{line}\n")
