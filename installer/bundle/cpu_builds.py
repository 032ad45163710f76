"""The builds of ggml's CPU backend in a wheel: all of them, or those that this machine needs.

The table is that of ggml/src/CMakeLists.txt, `GGML_CPU_ALL_VARIANTS`; the gate compares a wheel
with it.
"""

from pathlib import Path
from types import MappingProxyType
from typing import Final

_SSE = ("sse4_2",)
_AVX = (*_SSE, "avx")
_FMA = (*_AVX, "f16c", "fma")
_AVX2 = (*_FMA, "avx2", "bmi2")
_AVX512 = (*_AVX2, "avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw")
_AMX = ("amx_tile", "amx_int8")

NEEDS: Final = MappingProxyType(
    {
        "x64": (),
        "sse42": _SSE,
        "sandybridge": _AVX,
        "ivybridge": (*_AVX, "f16c"),
        "piledriver": _FMA,
        "haswell": _AVX2,
        "alderlake": (*_AVX2, "avx_vnni"),
        "skylakex": _AVX512,
        "cannonlake": (*_AVX512, "avx512vbmi"),
        "cascadelake": (*_AVX512, "avx512_vnni"),
        "icelake": (*_AVX512, "avx512vbmi", "avx512_vnni"),
        "cooperlake": (*_AVX512, "avx512_vnni", "avx512_bf16"),
        "zen4": (*_AVX512, "avx512vbmi", "avx512_vnni", "avx512_bf16"),
        "sapphirerapids": (*_AVX512, "avx512vbmi", "avx512_vnni", "avx512_bf16", *_AMX),
    }
)
"""Processor features that each needs, as Linux names them; of two that run, the later is better."""
ALL: Final = tuple(NEEDS)
BASELINE: Final = "x64"
CPUINFO: Final = Path("/proc/cpuinfo")


def runs_here(build: str, cpuinfo: Path = CPUINFO) -> bool:
    """True if the processor has all that a build needs, and the system lets it be used."""
    return _flags(cpuinfo).issuperset(NEEDS[build])


def of_host(cpuinfo: Path = CPUINFO) -> tuple[str, ...]:
    """The best build for this machine, and the one that runs everywhere."""
    best = [name for name in ALL if runs_here(name, cpuinfo)][-1]
    return tuple(name for name in ALL if name in {BASELINE, best})


def _flags(cpuinfo: Path) -> frozenset[str]:
    for line in cpuinfo.read_text().splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
