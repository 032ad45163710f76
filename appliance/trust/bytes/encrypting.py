"""Encrypting the files of a data directory where they lie, each whole or not at all.

Rules: weights and signatures stay as they are; so does what is encrypted already, or under a key
that is not here.
"""

import contextlib
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from appliance.errors import StateRefused
from appliance.host import at_rest
from appliance.trust.bytes import durable, names

WEIGHTS: Final = frozenset({".gguf", ".safetensors"})
LINES: Final = frozenset({".jsonl", ".pack"})
"""Of a job's files, those to which lines are added, each encrypted by itself."""
_PAGES: Final = frozenset({".html", ".json"})


def encrypt(folder: Path, *, anew: bool = False) -> None:
    """Encrypt all files below a folder, if it is there.

    Args:
        anew: also those that lie under an older key.
    """
    for path in _texts(sorted(folder.rglob("*")), anew):
        _seal(path)


def encrypt_artifact(folder: Path, *, anew: bool = False) -> None:
    """Encrypt an artifact of texts (a dataset, a task); one with weights stays as it is."""
    if not any(path.suffix in WEIGHTS for path in folder.iterdir()):
        encrypt(folder, anew=anew)


def encrypt_job(folder: Path, *, anew: bool = False) -> None:
    """Encrypt the outcomes and pages right in the folder of a job."""
    for path in sorted(folder.iterdir()):
        if path.suffix in LINES:
            at_rest.cipher_of(path)  # refuses where it is locked
            with contextlib.suppress(StateRefused):
                _replace(path, at_rest.sealed_lines(path, at_rest.read_lines(path)))
    for path in _texts((p for p in sorted(folder.iterdir()) if p.suffix in _PAGES), anew):
        _seal(path)


def _texts(paths: Iterable[Path], anew: bool) -> Iterator[Path]:
    for path in paths:
        found = path.lstat()
        kept = path.name == names.SIGNATURE_FILE or path.suffix in WEIGHTS
        if stat.S_ISREG(found.st_mode) and found.st_size <= at_rest.MOST and not kept:
            with path.open("rb") as file:
                if anew or file.read(len(at_rest.MARK)) != at_rest.MARK:
                    yield path


def _seal(path: Path) -> None:
    cipher = at_rest.cipher_of(path)
    with contextlib.suppress(StateRefused):
        _replace(path, cipher.seal(cipher.open(path.read_bytes())))


def _replace(path: Path, data: bytes) -> None:
    durable.replace(path, data, stat.S_IMODE(path.lstat().st_mode))
