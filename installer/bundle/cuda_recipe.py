"""The recipe of a CUDA plugin wheel: source, toolkit, architectures, flags, compilers.

Rules: a plugin is one library, `libggml-cuda.so`, next to the CPU wheel, never in its place; it
never links the driver's `libcuda.so.1`, and holds native code for every architecture of its list,
so that the host compiles only for a newer GPU.
"""

import os
import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from installer.bundle.llama_recipe import Recipe, recipe
from installer.bundle.locks import LOCKS, read_lock
from installer.bundle.steps import BundleError

FLAGS: Final = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DGGML_CUDA=ON",
    "-DGGML_CPU=OFF",
    "-DGGML_BACKEND_DL=ON",
    "-DGGML_NATIVE=OFF",
    "-DGGML_OPENMP=OFF",
    "-DGGML_RPC=OFF",
    "-DGGML_CCACHE=OFF",
    "-DGGML_CUDA_NCCL=OFF",
    "-DGGML_CUDA_CUB_3DOT2=OFF",  # it would clone a repository
    "-DGGML_CUDA_GRAPHS=ON",
    # The memory pool without it needs 11 functions of libcuda.so.1, which no host without a
    # driver has, and no wheel may bring.
    "-DGGML_CUDA_NO_VMM=ON",
    "-DGGML_CUDA_COMPRESSION_MODE=size",
    "-DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON",
    "-DCMAKE_INSTALL_RPATH={runpath}",
    "-DCMAKE_C_FLAGS=-ffile-prefix-map={build}=.",
    "-DCMAKE_CXX_FLAGS=-ffile-prefix-map={build}=.",
    "-DCMAKE_CUDA_FLAGS=-Xcompiler=-ffile-prefix-map={build}=.",
    "-DCMAKE_CUDA_ARCHITECTURES={architectures}",
    "-DCMAKE_CUDA_COMPILER={toolkit}/bin/nvcc",
    "-DCUDAToolkit_ROOT={toolkit}",
)
"""CMake arguments; the names in braces are filled in when it is built."""

SETTINGS: Final = ("build-dir={build}/build",)
"""Settings of scikit-build-core."""

_ARCHITECTURE: Final = re.compile(r"[1-9][0-9]{1,2}a?-(real|virtual)")
_RELEASE: Final = re.compile(r"release (\d+\.\d+), V(\d+\.\d+\.\d+)")


@dataclass(frozen=True)
class Plugin:
    """One major version of CUDA.

    Attributes:
        driver: the oldest major version of the NVIDIA driver that it runs on.
        architectures: as CMake writes them; `real` is native code, `virtual` is PTX.
        runpath: directories of its libraries, from its own directory in site-packages.
        build_lock: the compiler as wheels, or None where `$CUDA_HOME` must name one.
    """

    name: str
    driver: int
    architectures: tuple[str, ...]
    runpath: str
    release: str
    lock: Path
    build_lock: Path | None

    @property
    def package(self) -> str:
        return f"appliance_{self.name}"

    @property
    def requirements(self) -> list[str]:
        return [f"{locked.name}=={locked.version}" for locked in read_lock(self.lock)]


def _real(*names: str) -> tuple[str, ...]:
    """Native code for each, and one PTX for newer ones."""
    return (*(f"{name}-real" for name in names), "90-virtual")


_BASE: Final = "$ORIGIN/../llama_cpp/lib"

PLUGINS: Final = {
    "cuda12": Plugin(
        name="cuda12",
        driver=525,
        architectures=_real("61", "70", "75", "80", "86", "89", "90"),
        runpath=f"$ORIGIN/../nvidia/cublas/lib:$ORIGIN/../nvidia/cuda_runtime/lib:{_BASE}",
        release="12.4",
        lock=LOCKS / "lock-cuda12.txt",
        build_lock=None,
    ),
    "cuda13": Plugin(
        name="cuda13",
        driver=580,
        architectures=_real("75", "80", "86", "89", "90", "100", "120a"),
        runpath=f"$ORIGIN/../nvidia/cu13/lib:{_BASE}",
        release="13.0",
        lock=LOCKS / "lock-cuda13.txt",
        build_lock=LOCKS / "lock-cuda13-build.txt",
    ),
}
"""Driver floors: docs.nvidia.com/deploy/cuda-compatibility, minor version compatibility."""


def selected(plugin: Plugin, architectures: str | None) -> Plugin:
    """The plugin with only some of its architectures, as `90-real` or `86-real,89-real`."""
    if architectures is None:
        return plugin
    chosen = tuple(architectures.split(","))
    wrong = [a for a in chosen if not _ARCHITECTURE.fullmatch(a) or a not in plugin.architectures]
    if wrong or len(set(chosen)) != len(chosen):
        raise BundleError(
            f"{plugin.name} is built for {', '.join(plugin.architectures)}, not {architectures}"
        )
    return replace(plugin, architectures=chosen)


def plugin_recipe(plugin: Plugin) -> Recipe:
    """All that decides the plugin's wheel on this machine."""
    if plugin.build_lock is None:
        nvcc = nvcc_version(toolkit_of_host(plugin) / "bin" / "nvcc", plugin)
        pins = [f"nvcc {nvcc}", *plugin.requirements]
    else:
        pins = [f"{locked.name}=={locked.version}" for locked in read_lock(plugin.build_lock)]
    flags = tuple(flag.replace("{runpath}", plugin.runpath) for flag in FLAGS)
    base = recipe()
    return replace(
        base,
        compilers=(*base.compilers, *pins),
        flags=tuple(f.replace("{architectures}", ";".join(plugin.architectures)) for f in flags),
        settings=SETTINGS,
        variants=(),
        kernels="",
    )


def nvcc_version(nvcc: Path, plugin: Plugin) -> str:
    """The full version of an nvcc; another release than the plugin's is refused."""
    try:
        done = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BundleError(f"no working nvcc {nvcc}: {error}") from error
    found = _RELEASE.search(done.stdout)
    if found is None or found[1] != plugin.release:
        said = found[1] if found else done.stdout.strip()[:80]
        raise BundleError(f"{plugin.name} needs nvcc {plugin.release}, {nvcc} is {said}")
    return found[2]


def toolkit_of_host(plugin: Plugin) -> Path:
    """`$CUDA_HOME`, for a plugin whose compiler is no wheel."""
    home = os.environ.get("CUDA_HOME", "")
    if not (Path(home) / "bin" / "nvcc").is_file():
        raise BundleError(
            f"{plugin.name}: set CUDA_HOME to a CUDA {plugin.release} toolkit with nvcc and cuBLAS "
            "(Debian: nvidia-cuda-toolkit in non-free); the index has no nvcc for it"
        )
    return Path(home)
