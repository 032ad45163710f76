"""Which build of the engine is installed: a digest of its libraries.

Rules: one version of llama.cpp may be built with other kernels, which compute other bits, so a
certificate names the build that was measured.
"""

import hashlib
from functools import cache
from pathlib import Path

from appliance.workers import cpu_variants


@cache
def build_of(directory: Path | None = None) -> str:
    """The first 16 hex digits of a SHA-256 over names and contents of the libraries."""
    place = directory or cpu_variants.library_directory()
    told = hashlib.sha256()
    for path in sorted(place.glob("*.so*")):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        told.update(f"{path.name} {content}\n".encode())
    return told.hexdigest()[:16]
