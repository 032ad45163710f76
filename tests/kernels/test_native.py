"""The kernels alone, compiled for each instruction set of this machine, with the sanitizers."""

import platform
import subprocess
from pathlib import Path

import pytest

from installer.bundle import cpu_builds
from tests.conftest import need_tool

ROOT = Path(__file__).parents[2]
AVX2 = ("-mavx2", "-mfma", "-mf16c", "-mbmi2")
AVX512 = (*AVX2, "-mavx512f", "-mavx512cd", "-mavx512vl", "-mavx512dq", "-mavx512bw")
FORMS = {
    "avx2": ("haswell", AVX2),
    "avx512": ("skylakex", AVX512),
    "avx512-vnni": ("cascadelake", (*AVX512, "-mavx512vnni")),
    "avx2-vnni": ("cascadelake", (*AVX512, "-mavx512vnni", "-DKERNELS_NARROW")),
    "avx-vnni": ("alderlake", (*AVX2, "-mavxvnni")),
    "amx": (
        "sapphirerapids",
        (*AVX512, "-mavx512vnni", "-mavx512bf16", "-mamx-tile", "-mamx-int8"),
    ),
}
"""The build of ggml whose instructions each needs, and the flags."""
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g")


@pytest.mark.slow
@pytest.mark.timeout(1800)  # the sanitizers make the compiler take minutes
@pytest.mark.parametrize("form", FORMS)
def test_right_on_the_worst_blocks_and_a_wrong_sign_is_seen(tmp_path: Path, form: str) -> None:
    build, flags = FORMS[form]
    if not cpu_builds.runs_here(build):
        pytest.skip(f"this machine has no {form}")
    source, program = ROOT / "tests/kernels/check.cpp", tmp_path / "check"
    command: list[str | Path] = [need_tool("g++"), "-std=c++17", "-O1", *flags, *SANITIZERS]
    command += ["-I", ROOT / "kernels"]
    subprocess.run([*command, source, "-o", program], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failures" in done.stdout
    for control, said in (("control", "not"), ("tiles", "on tiles")):
        wrong = subprocess.run([program, control], capture_output=True, text=True, check=False)
        assert wrong.returncode == 1 and said in wrong.stdout, wrong.stderr


def test_the_instructions_for_tiles_are_in_the_build_for_amx(tmp_path: Path) -> None:
    """The kernel is compiled with them on any machine; what runs elsewhere is the emulation."""
    source = tmp_path / "tiles.cpp"
    source.write_text(
        '#include "tiles.h"\n'
        "template class kernels::TiledProduct<kernels::Real, kernels::Q4_1>;\n"
        "template class kernels::TiledProduct<kernels::Real, kernels::Q6_K>;\n"
    )
    found = {}
    for form in ("avx512-vnni", "amx"):
        command: list[str | Path] = [need_tool("g++"), "-std=c++17", "-O1", *FORMS[form][1]]
        command += ["-I", ROOT / "kernels", "-S", source, "-o", tmp_path / form]
        subprocess.run(command, check=True)
        found[form] = "tdpbf16ps" in (tmp_path / form).read_text()
    assert found == {"avx512-vnni": False, "amx": True}


def test_a_cleared_cache_is_zeroes_at_once_and_keeps_what_is_written_meanwhile(
    tmp_path: Path,
) -> None:
    program = tmp_path / "fresh"
    command: list[str | Path] = [need_tool("g++"), "-std=c++17", "-O1", *SANITIZERS]
    command += ["-I", ROOT / "kernels", ROOT / "tests/kernels/fresh.cpp", "-o", program]
    subprocess.run(command, check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    there, of_all = done.stdout.split(" of ")
    if tuple(map(int, platform.release().split(".")[:2])) >= (5, 14):
        assert int(there) == int(of_all)
