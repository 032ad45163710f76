"""The gate that every CUDA plugin wheel passes before it is carried anywhere.

Rules: exactly one library, which looks for others only next to the CPU wheel and in NVIDIA's
wheels, and needs the CUDA runtime of its major version, not the driver's own library; its facts are
those of the recipe; no path of the build is left in it.
"""

import json
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final

from installer.bundle.cuda_recipe import Plugin
from installer.bundle.elf import read_dynamic
from installer.bundle.steps import BundleError

FACTS: Final = "plugin.json"
"""In the package: what the product reads before it loads the library."""

LIBRARY: Final = "libggml-cuda.so"
MOST_BYTES: Final = 1_900_000_000
"""A wheel must fit one chunk of the stick."""

_SYSTEM: Final = frozenset(
    {"ld-linux-x86-64.so.2", "libc.so.6", "libgcc_s.so.1", "libm.so.6", "libstdc++.so.6"}
)


def check_plugin_wheel(
    path: Path, plugin: Plugin, *, build_path: str | None = None
) -> tuple[int, int]:
    """Refuse a wheel that differs from the recipe; the newest glibc that it asks for.

    Args:
        build_path: directory of the build, which no file in the wheel may name.
    """
    if path.stat().st_size > MOST_BYTES:
        raise BundleError(f"{path.name}: {path.stat().st_size} bytes, more than {MOST_BYTES}")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_names(path.name, archive.namelist(), plugin)
            facts = json.loads(archive.read(f"{plugin.package}/{FACTS}"))
            for name in archive.namelist() if build_path else ():
                if str(build_path).encode() in archive.read(name):
                    raise BundleError(f"{name}: names the directory of the build, {build_path}")
            library = archive.read(f"{plugin.package}/{LIBRARY}")
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise BundleError(f"{path.name}: not a readable wheel: {error}") from error
    _check_facts(path.name, facts, plugin)
    return _check_library(library, plugin)


def _check_names(wheel: str, names: list[str], plugin: Plugin) -> None:
    info = "-".join(wheel.split("-")[:2]) + ".dist-info"
    wanted = {f"{plugin.package}/{name}" for name in ("__init__.py", FACTS, LIBRARY)}
    files = {name for name in names if not name.endswith("/")}
    strays = sorted(name for name in files - wanted if PurePosixPath(name).parts[0] != info)
    missing = sorted(wanted - files)
    if strays or missing:
        raise BundleError(f"{wheel}: unexpected: {strays}, missing: {missing}")


def _check_facts(wheel: str, facts: object, plugin: Plugin) -> None:
    wanted = {
        "name": plugin.name,
        "driver": plugin.driver,
        "cuda": plugin.release,
        "architectures": list(plugin.architectures),
    }
    found = facts if isinstance(facts, dict) else {}
    wrong = sorted(name for name, value in wanted.items() if found.get(name) != value)
    if wrong:
        raise BundleError(f"{wheel}: {FACTS} is not the recipe's: {', '.join(wrong)}")


def _check_library(data: bytes, plugin: Plugin) -> tuple[int, int]:
    try:
        facts = read_dynamic(data)
    except BundleError as error:
        raise BundleError(f"{LIBRARY}: {error}") from error
    if facts.rpath is not None or facts.runpath != plugin.runpath:
        raise BundleError(f"{LIBRARY}: RUNPATH {facts.runpath!r}, not {plugin.runpath!r}")
    major = plugin.release.split(".")[0]
    wanted = {"libggml-base.so", f"libcudart.so.{major}", f"libcublas.so.{major}"}
    foreign = sorted(set(facts.needed) - wanted - _SYSTEM)
    missing = sorted(wanted - set(facts.needed))
    if foreign or missing:
        raise BundleError(f"{LIBRARY}: needs {foreign} beyond its rules, does not need {missing}")
    return facts.glibc
