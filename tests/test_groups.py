"""Tests that share a server or a library run in one process, whatever number of processes runs."""

import os
from pathlib import Path

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_xdist_sees_the_groups(request: pytest.FixtureRequest) -> None:
    """Else each process would start the servers of a file again."""
    assert request.node.nodeid.endswith(f"@{Path(__file__)}")
