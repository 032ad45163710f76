"""Builds the portable llama.cpp wheel from the hash-locked sdist, once per machine.

Cached as `llama-wheels/<key of the recipe>/`. A wheel that is carried away holds all CPU variants;
for this machine alone, its own and the baseline.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from installer.bundle import cpu_builds, kernel_hook, wheel_cache
from installer.bundle.cache import cache_root, sha256_file
from installer.bundle.llama_recipe import LOCK, SETTINGS, Recipe, build_environment, recipe
from installer.bundle.steps import BundleError, command_line, run_pip, run_step, say
from installer.bundle.wheel_cache import Gate, Wheel
from installer.bundle.wheel_gate import check_llama_wheel

RECORD: Final = "llama-wheel.json"
"""In the virtual environment: which wheel is installed there."""


def cached(root: Path, wanted: Recipe) -> Wheel | None:
    """The wheel of this recipe if the cache holds it undamaged."""
    return wheel_cache.cached(root, wanted, _gate(wanted))


def obtain(root: Path, wanted: Recipe) -> Wheel:
    """The wheel of this recipe, built if the cache does not hold it."""
    return wheel_cache.obtain(root, wanted, _build, _gate(wanted))


def for_this_machine(root: Path) -> Wheel:
    """The whole wheel if the cache holds it, or this machine's, built if need be."""
    return cached(root, recipe()) or obtain(root, recipe(cpu_builds.of_host()))


def _gate(wanted: Recipe) -> Gate:
    return lambda path: check_llama_wheel(path, variants=frozenset(wanted.variants))


def fetch_source(part: Path, wanted: Recipe, env: Mapping[str, str]) -> Path:
    """Fetch the locked sdist and unpack it in `part`; the directory of the source."""
    say(f"Fetching llama-cpp-python {wanted.version} (77 MB of source)")
    run_pip(
        *("download", "--no-deps", "--no-build-isolation", "--require-hashes"),
        *("--no-binary", "llama-cpp-python", "-r", str(LOCK), "-d", str(part / "sdist")),
        what="download",
        log=part / "download.log",
        env=env,
    )
    sdist = next((part / "sdist").iterdir())
    if sha256_file(sdist) != wanted.sdist_sha256:
        raise BundleError(f"{sdist.name} is not the locked sdist")
    (part / "source").mkdir()
    run_step(
        ["tar", "-xzf", str(sdist), "-C", str(part / "source"), "--strip-components=1"],
        what="unpack",
        log=part / "unpack.log",
    )
    return part / "source"


def _build(part: Path, wanted: Recipe) -> Path:
    for name in ("sdist", "tmp", "done"):
        (part / name).mkdir()
    env = build_environment(part, wanted.arguments)
    source = fetch_source(part, wanted, env)
    kernel_hook.apply(source)
    say(
        f"Building the llama.cpp wheel with {wanted.compilers[1]} for {len(wanted.variants)} kinds "
        "of processor: 2 to 9 minutes on two cores, once per machine"
    )
    run_pip(
        *("wheel", "-v", "--no-deps", "--no-build-isolation", "--no-cache-dir"),
        *(f"--config-settings={s.replace('{build}', str(part))}" for s in SETTINGS),
        *("-w", str(part / "done"), str(source)),
        what="llama.cpp",
        log=part / "build.log",
        env=env,
    )
    wheel = next((part / "done").glob("*.whl"))
    variants = frozenset(wanted.variants)
    glibc = check_llama_wheel(wheel, build_path=str(part), variants=variants)
    tools = {name: metadata.version(name) for name in ("cmake", "ninja", "scikit-build-core")}
    wheel_cache.record(part / "done", wanted, wheel, glibc="{}.{}".format(*glibc), tools=tools)
    return part / "done"


def install(wheel: Wheel) -> None:
    """Install the wheel into this virtual environment and record its digest there."""
    if sys.prefix == sys.base_prefix:
        raise BundleError("run this with the python of a virtual environment")
    record = Path(sys.prefix) / RECORD
    if record.exists() and json.loads(record.read_text()) == wheel.facts:
        return
    requirement = Path(sys.prefix) / "llama-wheel.txt"
    requirement.write_text(f"{wheel.path.as_uri()} --hash=sha256:{wheel.sha256}\n")
    run_pip(
        *("install", "--no-index", "--no-deps", "--force-reinstall", "--require-hashes"),
        *("-r", str(requirement)),
        what="install",
        log=Path(sys.prefix) / "llama-install.log",
    )
    record.write_text(json.dumps(wheel.facts, indent=2) + "\n")


def main() -> None:
    """Command line: build if needed, install unless told not to, print wheel and digest."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.llama_wheel")
    parser.add_argument("--no-install", action="store_true", help="only build")
    parser.add_argument("--all", action="store_true", help="with all CPU variants")
    options = parser.parse_args()
    root = cache_root() / "llama-wheels"
    wheel = obtain(root, recipe()) if options.all else for_this_machine(root)
    if not options.no_install:
        install(wheel)
    print(f"llama.cpp wheel {wheel.path}")
    print(f"sha256 {wheel.sha256}, needs glibc {wheel.facts['glibc']}")


if __name__ == "__main__":
    command_line(main)
