"""Adds to `lock-tune.txt` the hashes of torch's wheels for the processor in a directory.

The resolver hashes only wheels for the Python that it resolves for, and no index lists the hashes
of these. Only wheels of the locked version, for a Python of `TARGETS` on Linux x86-64, are taken.
"""

import argparse
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from installer.bundle.locks import read_lock
from installer.bundle.steps import BundleError, command_line, say
from installer.bundle.tuning_set import SETS, TORCH
from installer.bundle.wheel_facts import WheelFacts, name_and_version, read_wheel
from installer.bundle.wheelhouse import TARGETS, parse_tags

_ENTRY: Final = re.compile(
    rf"(?m)^{TORCH}==(?P<version>\S+) \\\n(?P<hashes>(?:    --hash=\S+.*\n)+)"
)


def found(directory: Path, version: str) -> list[WheelFacts]:
    """The wheels of torch in a directory that the lock may name, by their names."""
    taken = []
    for path in sorted(directory.glob("*.whl")):
        runs = any(
            tag.interpreter in TARGETS
            and tag.abi == tag.interpreter
            and tag.platform.startswith(("linux", "manylinux"))
            and tag.platform.endswith("_x86_64")
            for tag in parse_tags(path.name)
        )
        if runs and name_and_version(path.name) == (TORCH, version):
            taken.append(read_wheel(path))
    return taken


def with_hashes(lock: str, hashes: Iterable[str]) -> str:
    """The text of a lock, which names torch once, with more SHA-256 of it, in order."""
    entries = list(_ENTRY.finditer(lock))
    if len(entries) != 1:
        raise BundleError(f"the lock names {TORCH} {len(entries)} times, not once")
    (entry,) = entries
    every = {*re.findall(r"sha256:([0-9a-f]{64})", entry["hashes"]), *hashes}
    lines = " \\\n".join(f"    --hash=sha256:{digest}" for digest in sorted(every))
    return lock[: entry.start("hashes")] + lines + "\n" + lock[entry.end("hashes") :]


def add(directory: Path, lock: Path) -> list[WheelFacts]:
    """Returns those wheels."""
    version = next(entry.version for entry in read_lock(lock) if entry.name == TORCH)
    taken = found(directory, version)
    if not taken:
        raise BundleError(f"{directory} has no wheel of {TORCH} {version} for {', '.join(TARGETS)}")
    lock.write_text(with_hashes(lock.read_text(), (wheel.sha256 for wheel in taken)))
    read_lock(lock)
    return taken


def main() -> None:
    """Command line: add hashes to the lock."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.tuning_lock")
    parser.add_argument("directory", type=Path, metavar="DIRECTORY")
    for wheel in add(parser.parse_args().directory, SETS[""]):
        say(f"{wheel.sha256}  {wheel.file}")


if __name__ == "__main__":
    command_line(main)
