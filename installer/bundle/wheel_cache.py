"""Wheels that are built here, kept in the cache by the key of their recipe."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from installer.bundle.cache import exclusive, sha256_file
from installer.bundle.llama_recipe import Recipe
from installer.bundle.steps import BundleError, say


@dataclass(frozen=True)
class Wheel:
    """A wheel in the cache that passed its gate."""

    path: Path
    sha256: str
    facts: dict[str, Any]


Gate = Callable[[Path], object]
Build = Callable[[Path, Recipe], Path]
"""Builds in an empty directory; returns the directory that goes into the cache."""


def cached(root: Path, wanted: Recipe, gate: Gate) -> Wheel | None:
    """None if damaged; raises if the gate refuses it."""
    directory = root / wanted.key
    try:
        facts = json.loads((directory / "facts.json").read_text())
        path = directory / Path(facts["wheel"]).name
        if sha256_file(path) != facts["sha256"]:
            say(f"  the cached {path.name} is damaged and is built again")
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    gate(path)
    return Wheel(path, facts["sha256"], facts)


def obtain(root: Path, wanted: Recipe, build: Build, gate: Gate) -> Wheel:
    """Built if the cache does not hold it."""
    with exclusive(root / f"{wanted.key}.lock"):
        found = cached(root, wanted, gate)
        if found is not None:
            return found
        part = root / f"{wanted.key}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            finished = build(part, wanted)
            shutil.rmtree(root / wanted.key, ignore_errors=True)
            finished.rename(root / wanted.key)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        built = cached(root, wanted, gate)
    if built is None:
        raise BundleError(f"the wheel just built cannot be read from {root / wanted.key}")
    return built


def record(directory: Path, wanted: Recipe, wheel: Path, **more: Any) -> None:
    """Write `facts.json` next to the finished wheel in `directory`."""
    facts = wanted.facts | {
        "wheel": wheel.name,
        "sha256": sha256_file(wheel),
        "size": wheel.stat().st_size,
        **more,
    }
    (directory / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
