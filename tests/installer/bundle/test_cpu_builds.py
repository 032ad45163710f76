"""A machine gets its best build, and the one that runs everywhere."""

from pathlib import Path

import pytest

from installer.bundle import cpu_builds
from installer.bundle.cpu_builds import NEEDS, of_host

ZEN4 = " ".join(NEEDS["zen4"])


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ("fpu vme", ("x64",)),
        ("sse4_2", ("x64", "sse42")),
        (" ".join(NEEDS["haswell"]), ("x64", "haswell")),
        (" ".join(NEEDS["haswell"]) + " avx_vnni", ("x64", "alderlake")),
        (ZEN4, ("x64", "zen4")),
        (ZEN4.replace("avx512_bf16", ""), ("x64", "icelake")),
        (ZEN4.replace("avx512bw", ""), ("x64", "haswell")),
        (ZEN4 + " amx_tile amx_int8", ("x64", "sapphirerapids")),
    ],
)
def test_the_build_of_a_machine(tmp_path: Path, flags: str, wanted: tuple[str, ...]) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t:\nflags\t: none\n")
    assert of_host(cpuinfo) == wanted


def test_without_flags_there_is_the_baseline(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor: 0\n")
    assert of_host(tmp_path / "cpuinfo") == (cpu_builds.BASELINE,)
