"""The cache, outside the checkout, of files that are expensive to make or fetch; checked when used.

A complete entry appears by one rename; its maker holds a lock file.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from installer.bundle.steps import HEARTBEAT, say


def cache_root() -> Path:
    """The cache directory (XDG Base Directory Specification)."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(configured) if configured.startswith("/") else Path.home() / ".cache"
    return base / "appliance"


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def exclusive(path: Path, *, heartbeat: float = HEARTBEAT) -> Iterator[None]:
    """Hold the lock file `path`; print a line while waiting for another process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                say(f"  another process is making {path.stem}; waiting for it")
                time.sleep(heartbeat)
        yield
