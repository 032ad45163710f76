"""The environment with other implementations to compare with, outside the product's own.

Made once from `offline-wheels/lock-oracle.txt` into the cache directory of the product, under the
lock's digest; without a package index its tests are skipped. It is asked over pipes.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from installer.bundle.cache import cache_root, exclusive
from installer.bundle.locks import LOCKS
from tests.conftest import CHECKOUT, unavailable

LOCK = LOCKS / "lock-oracle.txt"
_MINUTES = 20


def python() -> Path:
    """The calling test is skipped where it cannot be made."""
    return environment(LOCK, "--only-binary", ":all:", "--no-binary", "modelvet")


def statistics_python() -> Path:
    """Likewise, with scipy, scikit-learn and statsmodels."""
    return environment(LOCKS / "lock-oracle-statistics.txt", "--only-binary", ":all:")


def otlp_python() -> Path:
    """Likewise, with OpenTelemetry's messages."""
    return environment(LOCKS / "lock-otlp.txt", "--only-binary", ":all:")


def environment(lock: Path, *options: str) -> Path:
    """Made from a lock, kept under the lock's digest; `options` are for pip, beside
    `--require-hashes`.
    """
    kind = lock.stem.removeprefix("lock-")
    if platform.python_version_tuple()[:2] != ("3", "11"):
        unavailable(f"{lock.name} is for Python 3.11")
    name = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    root = cache_root() / kind
    made = root / name
    with exclusive(root / f"{name}.lock"):
        if not (made / "complete").is_file():
            venv.create(made, clear=True, with_pip=True, symlinks=True)
            pip: list[str | Path] = [made / "bin" / "python", "-m", "pip", "install", "-q"]
            done = subprocess.run(
                [*pip, "--require-hashes", *options, "-r", lock],
                capture_output=True,
                text=True,
                timeout=_MINUTES * 60,
                check=False,
            )
            if done.returncode:
                unavailable(f"{lock.name} cannot be installed: {done.stderr.strip()[-300:]}")
            (made / "complete").touch()
    return made / "bin" / "python"


class Oracle:
    """A script of `tests/oracles/` in such an environment: JSON lines in, JSON lines out."""

    def __init__(self, script: str, interpreter: Path | None = None) -> None:
        self._process = subprocess.Popen(
            [interpreter or python(), CHECKOUT / "tests" / "oracles" / script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={
                "PATH": os.defpath,
                "PYTHONPATH": str(CHECKOUT),
                "SOFTHSM2_CONF": os.environ.get("SOFTHSM2_CONF", ""),
            },
        )

    def ask(self, **question: Any) -> dict[str, Any]:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("no pipes")
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.communicate()
