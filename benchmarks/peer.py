"""llama-server and llama-batched-bench, built from the same sdist as our wheel.

Rules
- The source is the hash-locked sdist of `offline-wheels/lock-llama.txt`; nothing is fetched during
  the build (no web UI, no TLS, no curl).
- Same compiler and build type as our wheel, but for this very processor (`GGML_NATIVE`), with and
  without OpenMP.
- Cached as `llama-server/<key>/<build>/`; the key covers what decides the result, the processor
  included. Digests are compared each time.
"""

import hashlib
import json
import os
import shutil
import statistics
from pathlib import Path
from typing import Any, Final

from appliance.host.hardware import host_facts
from installer.bundle.cache import cache_root, exclusive, sha256_file
from installer.bundle.llama_recipe import Recipe, build_environment, recipe
from installer.bundle.llama_wheel import fetch_source
from installer.bundle.steps import BundleError, run_step, say

PROGRAMS: Final = ("llama-server", "llama-batched-bench")
FLAGS: Final = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DGGML_NATIVE=ON",
    "-DGGML_RPC=OFF",
    "-DGGML_CCACHE=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_TOOLS=ON",
    "-DLLAMA_BUILD_SERVER=ON",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
)
BUILDS: Final = {"no-openmp": "-DGGML_OPENMP=OFF", "openmp": "-DGGML_OPENMP=ON"}


def facts(wanted: Recipe) -> dict[str, Any]:
    """What decides the binaries, as JSON values."""
    host = host_facts(cache_root())
    return {
        "version": wanted.version,
        "sdist_sha256": wanted.sdist_sha256,
        "compilers": list(wanted.compilers),
        "cpu": host.cpu,
        "cpu_flags": sorted(host.cpu_flags),
        "flags": list(FLAGS),
        "builds": BUILDS,
    }


def directory() -> Path:
    """Where the builds of this machine are, or will be."""
    text = json.dumps(facts(recipe()), sort_keys=True)
    return cache_root() / "llama-server" / hashlib.sha256(text.encode()).hexdigest()


def obtain() -> Path:
    """The directory with all builds, made if the cache does not hold it undamaged."""
    place = directory()
    with exclusive(place.with_suffix(".lock")):
        if _intact(place):
            return place
        part = place.with_suffix(".part")
        _build(part, recipe())
        shutil.rmtree(place, ignore_errors=True)
        (part / "done").rename(place)
        shutil.rmtree(part)
    return place


def _intact(place: Path) -> bool:
    try:
        digests = json.loads((place / "facts.json").read_text())["sha256"]
        return bool(digests) and all(sha256_file(place / n) == d for n, d in digests.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _build(part: Path, wanted: Recipe) -> None:
    """An interrupted build in `part` is continued."""
    fetched = part / "fetched"
    if not fetched.exists():
        shutil.rmtree(part, ignore_errors=True)
        (part / "tmp").mkdir(parents=True)
        fetch_source(part, wanted, build_environment(part))
        fetched.touch()
    say("Building llama-server: 5 minutes on two cores, once per machine")
    for build, openmp in BUILDS.items():
        _compile(part, openmp)
        (part / "done" / build).mkdir(parents=True, exist_ok=True)
        for program in PROGRAMS:
            shutil.copy2(part / "build" / "bin" / program, part / "done" / build / program)
    digests = {
        f"{build}/{program}": sha256_file(part / "done" / build / program)
        for build in BUILDS
        for program in PROGRAMS
    }
    record = facts(wanted) | {"sha256": digests}
    (part / "done" / "facts.json").write_text(json.dumps(record, indent=2) + "\n")


def _compile(part: Path, openmp: str) -> None:
    """The next build in the same place compiles only what the option changes."""
    env, source, work = (
        build_environment(part),
        part / "source" / "vendor" / "llama.cpp",
        part / "build",
    )
    configure = ["cmake", "-S", str(source), "-B", str(work), "-G", "Ninja", *FLAGS, openmp]
    run_step(configure, what="configure", log=part / "cmake.log", env=env)
    cores = str(len(os.sched_getaffinity(0)))
    command = ["nice", "cmake", "--build", str(work), "-j", cores, "--target", *PROGRAMS]
    run_step(command, what="llama-server", log=part / "build.log", env=env)


def chosen(program: str = "llama-server") -> Path:
    """A program of the faster build."""
    place = directory()
    try:
        build = json.loads((place / "choice.json").read_text())["build"]
    except (OSError, ValueError, KeyError) as error:
        raise BundleError("llama-server is not there; run `make bench-peer` first") from error
    return place / str(build) / program


def choose(place: Path, measured: dict[str, list[float]]) -> str:
    """Record which build is the peer: the one with the higher median of generated tokens/s."""
    best = max(measured, key=lambda build: statistics.median(measured[build]))
    record = {"build": best, "tokens_s": measured}
    (place / "choice.json").write_text(json.dumps(record, indent=2) + "\n")
    return best
