"""The recipe of the llama.cpp wheel: source, flags, compilers, machine.

Rules: one wheel serves every x86-64 host (all CPU variants of ggml as separate libraries, no
native code), without OpenMP and network code (why: docs/dependencies.md). The cache's key covers
everything that decides the result; compiler flags and CMake variables of the caller's environment
never reach the build.
"""

import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from installer.bundle import cpu_builds, kernel_hook
from installer.bundle.locks import LOCKS, read_lock
from installer.bundle.steps import BundleError

LOCK: Final = LOCKS / "lock-llama.txt"

SOURCE_DATE_EPOCH: Final = 1767225600
"""The time of every file in the wheel: 2026-01-01, so that it depends on the source only."""

FLAGS: Final = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=OFF",
    "-DGGML_BACKEND_DL=ON",
    "-DGGML_CPU_ALL_VARIANTS=ON",
    "-DGGML_OPENMP=OFF",
    "-DGGML_RPC=OFF",
    "-DGGML_CCACHE=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_TOOLS=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAVA_BUILD=OFF",  # images and sound: a library that nothing here loads
    # Without these, variants land outside the package and three copies of each library in it.
    "-DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON",
    "-DCMAKE_INSTALL_LIBDIR=llama_cpp/lib",
    "-DCMAKE_INSTALL_BINDIR=llama_cpp/lib",
    "-DCMAKE_INSTALL_INCLUDEDIR=llama_cpp/include",
    "-DCMAKE_INSTALL_RPATH=$ORIGIN",
    # Or the path of the build stays in the libraries, overwritten, with its length. (The source
    # sets CMAKE_BUILD_WITH_INSTALL_RPATH itself.)
    "-DCMAKE_BUILD_RPATH_USE_ORIGIN=ON",
    "-DCMAKE_C_FLAGS=-ffile-prefix-map={build}=.",
    "-DCMAKE_CXX_FLAGS=-ffile-prefix-map={build}=.",
)
"""CMake arguments; `{build}` stands for the temporary directory of the build."""

SETTINGS: Final = (
    "build-dir={build}/build",
    "install.strip=true",
    # For building against the libraries; they hold absolute paths of the build.
    "wheel.exclude=llama_cpp/lib/cmake/**;llama_cpp/lib/pkgconfig/**",
)
"""Settings of scikit-build-core."""

_DROPPED: Final = re.compile(
    r"(CMAKE|SKBUILD|GGML|LLAMA|NINJA)_.*|(C|CXX|CPP|LD|AS|MAKE|M)FLAGS|DESTDIR|CPATH"
    r"|(LIBRARY|C_INCLUDE|CPLUS_INCLUDE|LD_RUN)_PATH|NVCC_.*|CUDA(CXX|HOSTCXX|FLAGS|ARCHS|_PATH)"
)
_KEPT: Final = frozenset({"CMAKE_BUILD_PARALLEL_LEVEL"})


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the wheel's content."""

    version: str
    sdist_sha256: str
    compilers: tuple[str, ...]
    machine: str
    flags: tuple[str, ...] = FLAGS
    settings: tuple[str, ...] = SETTINGS
    source_date_epoch: int = SOURCE_DATE_EPOCH
    variants: tuple[str, ...] = cpu_builds.ALL
    kernels: str = field(default_factory=kernel_hook.digest)

    @property
    def arguments(self) -> tuple[str, ...]:
        return (*self.flags, f"-D{kernel_hook.VARIANTS}={';'.join(self.variants)}")

    @property
    def facts(self) -> dict[str, Any]:
        return {name: list(v) if type(v) is tuple else v for name, v in vars(self).items()}

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()


def recipe(variants: tuple[str, ...] = cpu_builds.ALL) -> Recipe:
    """The recipe on this machine, an x86-64, with `$CC` and `$CXX` or gcc and g++."""
    locked = read_lock(LOCK)
    if [entry.name for entry in locked] != ["llama-cpp-python"] or len(locked[0].hashes) != 1:
        raise BundleError(f"{LOCK.name} does not lock llama-cpp-python to one sdist")
    if platform.machine() != "x86_64":
        raise BundleError(f"the CPU variants are for x86_64, this machine is {platform.machine()}")
    compilers = (_compiler("CC", "gcc"), _compiler("CXX", "g++"))
    sdist = next(iter(locked[0].hashes))
    return Recipe(locked[0].version, sdist, compilers, platform.machine(), variants=variants)


def build_environment(part: Path, flags: Sequence[str] = FLAGS) -> dict[str, str]:
    """Ours without what would change the result."""
    env = {n: v for n, v in os.environ.items() if n in _KEPT or not _DROPPED.fullmatch(n)}
    env["CMAKE_ARGS"] = shlex.join(flag.replace("{build}", str(part)) for flag in flags)
    env["CMAKE_GENERATOR"] = "Ninja"
    env |= {"CC": env.get("CC") or "gcc", "CXX": env.get("CXX") or "g++"}
    env["SOURCE_DATE_EPOCH"] = str(SOURCE_DATE_EPOCH)
    env["TMPDIR"] = str(part / "tmp")
    env["PATH"] = f"{Path(sys.executable).parent}:{env.get('PATH', os.defpath)}"
    return env


def _compiler(variable: str, default: str) -> str:
    command = shlex.split(os.environ.get(variable) or default)
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BundleError(f"no working compiler {shlex.join(command)}: {error}") from error
    return done.stdout.splitlines()[0] if done.stdout else shlex.join(command)
