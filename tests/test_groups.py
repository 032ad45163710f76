"""Tests that share a server or a library run in one process, whatever number of processes runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
def test_xdist_sees_the_groups(request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith(f"@{Path(__file__)}")


@pytest.mark.parametrize(
    "files",
    [
        ("api/admin/test_roles.py", "test_docs.py", "api/test_docs.py", "api/admin/test_keys.py"),
        ("api/test_docs.py", "api/admin/test_keys.py", "test_docs.py", "api/test_described.py"),
    ],
)
def test_files_may_be_named_in_any_order(files: tuple[str, ...], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--setup-plan", "-q", "-p", "no:cacheprovider"]
    command += ["--basetemp", str(tmp_path / "t"), *(f"tests/{name}" for name in files)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
