"""The gate that every llama.cpp wheel passes before it is installed or carried anywhere.

Rules: exactly the CPU variants that the loader chooses from; every library looks for others only
next to itself (an empty or absolute RUNPATH entry is a way to plant code) and needs only glibc and
the C++ runtime besides; no path of the build is left in it.
"""

import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final

from installer.bundle import cpu_builds
from installer.bundle.elf import read_dynamic
from installer.bundle.steps import BundleError

VARIANTS: Final = frozenset(cpu_builds.ALL)

_SYSTEM: Final = frozenset(
    {"ld-linux-x86-64.so.2", "libc.so.6", "libgcc_s.so.1", "libm.so.6", "libstdc++.so.6"}
)
_LIB: Final = "llama_cpp/lib/"
_VARIANT: Final = re.compile(re.escape(_LIB) + r"libggml-cpu-(\w+)\.so")


def check_llama_wheel(
    path: Path, *, build_path: str | None = None, variants: frozenset[str] = VARIANTS
) -> tuple[int, int]:
    """Refuse a wheel that differs from the flags; the newest glibc that it asks for.

    Args:
        build_path: directory of the build, which no file in the wheel may name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            _check_names(path.name, names, variants)
            libraries = {n: archive.read(n) for n in names if ".so" in PurePosixPath(n).name}
            for name in names if build_path else ():
                if str(build_path).encode() in archive.read(name):
                    raise BundleError(f"{name}: names the directory of the build, {build_path}")
    except (zipfile.BadZipFile, OSError) as error:
        raise BundleError(f"{path.name}: not a readable wheel: {error}") from error
    beside = frozenset(PurePosixPath(name).name for name in libraries)
    return max(_check_library(name, data, beside) for name, data in libraries.items())


def _check_names(wheel: str, names: list[str], variants: frozenset[str]) -> None:
    info = "-".join(wheel.split("-")[:2]) + ".dist-info"
    strays = sorted({name.split("/")[0] for name in names} - {"llama_cpp", info})
    if strays:
        raise BundleError(f"{wheel}: unexpected at the top of the wheel: {', '.join(strays)}")
    found = {match[1] for name in names if (match := _VARIANT.fullmatch(name))}
    if found != variants:
        raise BundleError(
            f"{wheel}: CPU variants missing: {sorted(variants - found)}, "
            f"unexpected: {sorted(found - variants)}"
        )


def _check_library(name: str, data: bytes, beside: frozenset[str]) -> tuple[int, int]:
    if not name.startswith(_LIB):
        raise BundleError(f"{name}: a library outside {_LIB}")
    try:
        facts = read_dynamic(data)
    except BundleError as error:
        raise BundleError(f"{name}: {error}") from error
    if facts.rpath is not None or facts.runpath != "$ORIGIN":
        raise BundleError(f"{name}: RUNPATH {facts.runpath!r}, RPATH {facts.rpath!r}, not $ORIGIN")
    foreign = sorted(set(facts.needed) - beside - _SYSTEM)
    if foreign:
        raise BundleError(f"{name}: needs libraries that the wheel does not bring: {foreign}")
    return facts.glibc
