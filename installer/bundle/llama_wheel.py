"""Builds the portable llama.cpp wheel from the hash-locked sdist, once per machine.

Rules
- The sdist is the one in `offline-wheels/lock-llama.txt`, or nothing is built.
- One wheel serves every x86-64 host: all CPU variants of ggml as separate libraries, no
  OpenMP, no native code, no network code (why: docs/adr, docs/dependencies.md).
- The build tools are the locked wheels of this virtual environment; compiler flags of the
  caller's environment are dropped, so that the key says all that decides the result.
- Cached as `llama-wheels/<key>/` with the key over flags, sdist, compiler and machine;
  the wheel's digest is compared and the gate passed each time before it is installed.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from installer.bundle.cache import cache_root, exclusive, sha256_file
from installer.bundle.locks import LOCKS, read_lock
from installer.bundle.steps import BundleError, command_line, run_pip, run_step, say
from installer.bundle.wheel_gate import check_llama_wheel

LOCK: Final = LOCKS / "lock-llama.txt"
RECORD: Final = "llama-wheel.json"
"""In the virtual environment: which wheel is installed there."""

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
    # Without these, variants land outside the package and three copies of each library in it.
    "-DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON",
    "-DCMAKE_INSTALL_LIBDIR=llama_cpp/lib",
    "-DCMAKE_INSTALL_BINDIR=llama_cpp/lib",
    "-DCMAKE_INSTALL_INCLUDEDIR=llama_cpp/include",
    "-DCMAKE_INSTALL_RPATH=$ORIGIN",
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
    r"(CMAKE|SKBUILD|GGML|LLAMA|NINJA)_?|(C|CXX|CPP|LD|AS)FLAGS$|(LIBRARY|CPATH|C_INCLUDE|CPLUS)"
)
_KEPT: Final = frozenset({"CMAKE_BUILD_PARALLEL_LEVEL"})


@dataclass(frozen=True)
class Recipe:
    """All that decides what the wheel holds."""

    version: str
    sdist_sha256: str
    compilers: tuple[str, str]
    machine: str
    flags: tuple[str, ...] = FLAGS
    settings: tuple[str, ...] = SETTINGS
    source_date_epoch: int = SOURCE_DATE_EPOCH

    @property
    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: list(v) if type(v) is tuple else v for name, v in vars(self).items()}

    @property
    def key(self) -> str:
        """SHA-256 over the facts, in hex."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Wheel:
    """A wheel in the cache that passed the gate."""

    path: Path
    sha256: str
    facts: dict[str, Any]


def recipe() -> Recipe:
    """The recipe on this machine, with `$CC` and `$CXX` or gcc and g++.

    Raises:
        BundleError: no compiler, another machine than x86-64, or a lock that cannot be read.
    """
    locked = read_lock(LOCK)
    if [entry.name for entry in locked] != ["llama-cpp-python"] or len(locked[0].hashes) != 1:
        raise BundleError(f"{LOCK.name} does not lock llama-cpp-python to one sdist")
    if platform.machine() != "x86_64":
        raise BundleError(f"the CPU variants are for x86_64, this machine is {platform.machine()}")
    compilers = (_compiler("CC", "gcc"), _compiler("CXX", "g++"))
    return Recipe(locked[0].version, *locked[0].hashes, compilers, platform.machine())


def cached(root: Path, wanted: Recipe) -> Wheel | None:
    """The wheel of this recipe if the cache holds it undamaged."""
    directory = root / wanted.key
    try:
        facts = json.loads((directory / "facts.json").read_text())
        path = directory / Path(facts["wheel"]).name
        if sha256_file(path) != facts["sha256"]:
            say("  the cached llama.cpp wheel is damaged and is built again")
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    check_llama_wheel(path)
    return Wheel(path, facts["sha256"], facts)


def obtain(root: Path, wanted: Recipe) -> Wheel:
    """The wheel of this recipe, built if the cache does not hold it.

    Raises:
        BundleError: the sdist cannot be fetched, the build failed or the gate refused.
    """
    with exclusive(root / f"{wanted.key}.lock"):
        found = cached(root, wanted)
        if found is not None:
            return found
        part = root / f"{wanted.key}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            finished = _build(part, wanted)
            shutil.rmtree(root / wanted.key, ignore_errors=True)
            finished.rename(root / wanted.key)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        built = cached(root, wanted)
    if built is None:
        raise BundleError(f"the wheel just built cannot be read from {root / wanted.key}")
    return built


def _build(part: Path, wanted: Recipe) -> Path:
    """Build in `part`; the directory that goes into the cache."""
    for name in ("sdist", "source", "tmp", "done"):
        (part / name).mkdir()
    env = build_environment(part)
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
    run_step(
        ["tar", "-xzf", str(sdist), "-C", str(part / "source"), "--strip-components=1"],
        what="unpack",
        log=part / "unpack.log",
    )
    say(
        f"Building the llama.cpp wheel with {wanted.compilers[1]}: "
        "6 to 9 minutes on two cores, once per machine"
    )
    run_pip(
        *("wheel", "-v", "--no-deps", "--no-build-isolation", "--no-cache-dir"),
        *(f"--config-settings={s.replace('{build}', str(part))}" for s in SETTINGS),
        *("-w", str(part / "done"), str(part / "source")),
        what="llama.cpp",
        log=part / "build.log",
        env=env,
    )
    wheel = next((part / "done").glob("*.whl"))
    glibc = check_llama_wheel(wheel, build_path=str(part))
    facts = wanted.facts | {
        "wheel": wheel.name,
        "sha256": sha256_file(wheel),
        "size": wheel.stat().st_size,
        "glibc": "{}.{}".format(*glibc),
        "tools": {name: metadata.version(name) for name in ("cmake", "ninja", "scikit-build-core")},
    }
    (part / "done" / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")
    return part / "done"


def build_environment(part: Path) -> dict[str, str]:
    """The environment of the build in `part`: ours without what would change the result."""
    env = {n: v for n, v in os.environ.items() if n in _KEPT or not _DROPPED.match(n)}
    env["CMAKE_ARGS"] = shlex.join(flag.replace("{build}", str(part)) for flag in FLAGS)
    env["CMAKE_GENERATOR"] = "Ninja"
    env["SOURCE_DATE_EPOCH"] = str(SOURCE_DATE_EPOCH)
    env["TMPDIR"] = str(part / "tmp")
    env["PATH"] = f"{Path(sys.executable).parent}:{env.get('PATH', os.defpath)}"
    return env


def install(wheel: Wheel) -> None:
    """Install the wheel into this virtual environment and record its digest there.

    Raises:
        BundleError: not a virtual environment, or pip refused.
    """
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


def _compiler(variable: str, default: str) -> str:
    command = shlex.split(os.environ.get(variable) or default)
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BundleError(f"no working compiler {shlex.join(command)}: {error}") from error
    return done.stdout.splitlines()[0] if done.stdout else shlex.join(command)


def main() -> None:
    """Command line: build if needed, install unless told not to, print wheel and digest."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.llama_wheel")
    parser.add_argument("--no-install", action="store_true", help="only build")
    options = parser.parse_args()
    wheel = obtain(cache_root() / "llama-wheels", recipe())
    if not options.no_install:
        install(wheel)
    print(f"llama.cpp wheel {wheel.path}")
    print(f"sha256 {wheel.sha256}, needs glibc {wheel.facts['glibc']}")


if __name__ == "__main__":
    command_line(main)
