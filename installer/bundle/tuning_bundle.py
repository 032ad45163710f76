"""Builds the stick with the tuning set: wheels of its lock for one Python, signed like a bundle.

Rules: setuptools is left out: it brings code that runs at every start of Python. The builds of
torch for the processor alone are not on the package index: `--wheels` names a directory that has
the one for this Python. A set for GPUs has the build of the index, and says which driver it needs.
"""

import argparse
import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from installer.bundle import licences, media, sbom
from installer.bundle.cache import cache_root, sha256_file
from installer.bundle.locks import Locked, read_lock
from installer.bundle.steps import BundleError, command_line, say
from installer.bundle.tuning_set import SETS, TORCH
from installer.bundle.wheel_facts import WheelFacts, name_and_version, read_wheel
from installer.bundle.wheel_lists import product_version
from installer.bundle.wheelhouse import BUNDLED, TARGETS, Target, collect, parse_tags, select
from installer.host.facts import DRIVERS
from installer.host.manifest import CHUNK
from installer.host.tuning import FACTS, WHEELS, Facts, encode

_LEFT_OUT: Final = frozenset({"setuptools"})
_MACHINE: Final = "x86_64"
_README: Final = """\
The tuning set of the appliance, for Python {python}: what `appliance tune` computes with.{driver}

As root, on a host where the appliance is installed:

  appliance-installer tuning --media DIRECTORY-OF-THIS-FILE

It checks the signature with the key that the installation pinned, and every file; nothing here has
to be started. docs/install-guide.md of the product has more.
"""


_DRIVER: Final = """
It is for hosts with an NVIDIA driver {oldest} or newer ({gpu}); others refuse it."""


def build(
    out: Path,
    key: Path,
    wheels: Path | None,
    target: Target,
    *,
    gpu: str = "",
    lock: Path | None = None,
) -> list[WheelFacts]:
    """Build the stick's directory `out`, replacing an earlier one.

    Args:
        wheels: a directory with the wheels that the index lacks, and perhaps others.
        gpu: a set of `SETS`.
        lock: in place of the set's.
    """
    lock = lock or SETS[gpu]
    entries = [e for e in select(read_lock(lock), target) if e.name not in _LEFT_OUT]
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    (part / WHEELS).mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=_work(), prefix="tuning-") as work:
        directory = Path(work) / "wheels"
        directory.mkdir()
        torch = _at_hand(entries, target, wheels, directory) if wheels else None
        if torch is None and not gpu:
            raise _without_torch(wheels, target, lock)
        others = [entry for entry in entries if torch is None or entry.name != TORCH]
        log = Path(work) / "download.log"
        found = collect(others, target, directory, log)
        for facts in found:
            _take(directory / facts.file, facts, part)
        if torch is not None:
            found.append(read_wheel(torch))
            _take(torch, found[-1], part)
    used = hashlib.sha256(lock.read_bytes()).hexdigest()
    python = "{}.{}".format(*target.python)
    (part / FACTS).write_bytes(encode(Facts(python, _MACHINE, used, gpu)))
    driver = _DRIVER.format(oldest=dict(DRIVERS)[gpu], gpu=gpu) if gpu else ""
    (part / "README").write_text(_README.format(python=python, driver=driver))
    document = sbom.write("appliance-tune", product_version(), [facts.part for facts in found])
    (part / "sbom.cdx.json").write_bytes(document)
    media.finish(part, out, key)
    return found


def _at_hand(
    entries: Sequence[Locked], target: Target, wheels: Path, directory: Path
) -> Path | None:
    hashes = {entry.name: entry.hashes for entry in entries}
    runs = {(tag.interpreter, tag.abi) for tag in target.tags}
    found = None
    for path in sorted(wheels.glob("*.whl")):
        name, _ = name_and_version(path.name)
        fits = any((tag.interpreter, tag.abi) in runs for tag in parse_tags(path.name))
        if not fits or sha256_file(path) not in hashes.get(name, ()):
            continue
        if name == TORCH:
            found = path
        else:
            shutil.copyfile(path, directory / path.name)
    return found


def _without_torch(wheels: Path | None, target: Target, lock: Path) -> BundleError:
    if wheels is None:
        return BundleError(
            "The build of torch for the processor is not on the package index: name a directory "
            "that has it with --wheels, or build a set for GPUs with --gpu."
        )
    return BundleError(
        f"{wheels} has no wheel of torch for {target.name} whose hash is in {lock.name}. Put the "
        f"build for the processor, for {target.name}, into it; where the lock has other hashes, "
        "`make lock-torch TORCH_WHEELS=DIRECTORY` adds those of all that are there."
    )


def _take(path: Path, facts: WheelFacts, part: Path) -> None:
    if path.stat().st_size > CHUNK:
        raise BundleError(f"{path.name} is too large for a stick: {path.stat().st_size} bytes")
    shutil.copyfile(path, part / WHEELS / path.name)
    text = part / "LICENSES" / f"{facts.name}.txt"
    text.parent.mkdir(exist_ok=True)
    text.write_bytes(licences.of_wheel(path, facts))
    say(f"{path.stat().st_size / 1e6:8.1f} MB  {path.name}")


def _work() -> Path:
    path = cache_root() / "bundles"
    path.mkdir(parents=True, exist_ok=True)
    return path


def main() -> None:
    """Command line: build the stick with the tuning set."""
    parser = argparse.ArgumentParser(prog="appliance bundle tuning")
    parser.add_argument("out", type=Path, metavar="OUT", help="the directory for the stick")
    parser.add_argument("--key", type=Path, required=True, help="the vendor's: a file, or pkcs11:…")
    parser.add_argument("--wheels", type=Path, metavar="DIR",
                        help="a directory with torch's wheel for the processor, and perhaps "
                        "with others")  # fmt: skip
    parser.add_argument("--gpu", choices=sorted(filter(None, SETS)), default="",
                        help="for hosts with an NVIDIA GPU; nothing trains on one yet")  # fmt: skip
    parser.add_argument("--python", choices=sorted(TARGETS), default=BUNDLED.name,
                        help="of the release; by default the one that it brings")  # fmt: skip
    given = parser.parse_args()
    try:
        out, target = given.out.absolute(), TARGETS[given.python]
        found = build(out, given.key, given.wheels, target, gpu=given.gpu)
    except OSError as error:
        raise BundleError(f"cannot build the tuning set: {error}") from error
    print(f"{given.out}: {len(found)} wheels for {given.python}, signed")


if __name__ == "__main__":
    command_line(main)
