"""The environment with pymerkle, made once from its lock beside the product's caches."""

import subprocess
import venv
from hashlib import sha256
from pathlib import Path

from installer.bundle.cache import cache_root
from installer.bundle.locks import LOCKS
from installer.bundle.steps import say


def interpreter() -> Path | None:
    """Its Python, or None where it cannot be made, e.g. without a package index."""
    lock = LOCKS / "lock-bench.txt"
    made = cache_root() / "bench" / sha256(lock.read_bytes()).hexdigest()[:16]
    if not (made / "complete").exists():
        venv.create(made, clear=True, with_pip=True, symlinks=True)
        pip: list[str | Path] = [
            made / "bin" / "python",
            "-m",
            "pip",
            "install",
            "-q",
            "--require-hashes",
        ]
        done = subprocess.run([*pip, "-r", lock], capture_output=True, text=True, check=False)
        if done.returncode:
            say(f"without pymerkle: {done.stderr.strip()[-300:]}")
            return None
        (made / "complete").touch()
    return made / "bin" / "python"
