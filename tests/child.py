"""Run a test in a process of its own, which has loaded no library yet.

A C library is one for a process: a test finds it as the last one left it.
"""

import functools
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_SKIPPED = 77  # as in automake's tests


def in_child(test: Callable[..., None]) -> Callable[..., None]:
    """The test's arguments are plain values of parameters."""

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        command = [sys.executable, "-m", "tests.child", test.__module__, test.__name__]
        done = subprocess.run(
            [*command, json.dumps(arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[1],
        )
        if done.returncode == _SKIPPED:
            pytest.skip(done.stdout)
        assert done.returncode == 0, f"{done.returncode}: {done.stderr}"

    return run


if __name__ == "__main__":
    decorated = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
    try:
        decorated.__wrapped__(**json.loads(sys.argv[3]))
    except pytest.skip.Exception as reason:
        sys.stdout.write(str(reason))
        sys.exit(_SKIPPED)
