"""Encrypting the files of a data directory where they lie, each whole or not at all.

Rules: weights and signatures stay as they are; so does what is encrypted already.
"""

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from appliance.host import at_rest
from appliance.trust.bytes import durable, names

WEIGHTS: Final = frozenset({".gguf", ".safetensors"})
LINES: Final = frozenset({".jsonl", ".pack"})
"""Of a job's files, those to which lines are added, each encrypted by itself."""
_PAGES: Final = frozenset({".html", ".json"})


def encrypt(folder: Path) -> None:
    """Encrypt all files below a folder, if it is there.

    Raises:
        OSError: the disk refuses; what is not encrypted yet lies as it was.
        StateRefused: `host_key_locked`.
    """
    for path in _plain(sorted(folder.rglob("*"))):
        _replace(path, at_rest.sealed(path, path.read_bytes()))


def encrypt_artifact(folder: Path) -> None:
    """Encrypt an artifact of texts, as a dataset or a task; one with weights stays as it is."""
    if not any(path.suffix in WEIGHTS for path in folder.iterdir()):
        encrypt(folder)


def encrypt_job(folder: Path) -> None:
    """Encrypt the outcomes and pages right in the folder of a job; raises as `encrypt`."""
    for path in sorted(folder.iterdir()):
        if path.suffix in LINES:
            _replace(path, at_rest.sealed_lines(path, at_rest.read_lines(path)))
    for path in _plain(p for p in sorted(folder.iterdir()) if p.suffix in _PAGES):
        _replace(path, at_rest.sealed(path, path.read_bytes()))


def _plain(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        found = path.lstat()
        kept = path.name == names.SIGNATURE_FILE or path.suffix in WEIGHTS
        if stat.S_ISREG(found.st_mode) and found.st_size <= at_rest.MOST and not kept:
            with path.open("rb") as file:
                if file.read(len(at_rest.MARK)) != at_rest.MARK:
                    yield path


def _replace(path: Path, data: bytes) -> None:
    durable.replace(path, data, stat.S_IMODE(path.lstat().st_mode))
