"""The CPU variant is chosen by trying, never by trust in a score."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import StateRefused
from appliance.workers import cpu_variants
from appliance.workers.cpu_variants import Variant
from appliance.workers.repacking import AMX, OURS, PLAIN
from tests.conftest import need_tool


@pytest.fixture(scope="module")
def directory() -> Path:
    return cpu_variants.library_directory()


def test_the_best_variant_is_a_library_of_the_wheel_that_computes(directory: Path) -> None:
    best = cpu_variants.best_variant(directory)
    assert best.is_absolute() and best.parent == directory and best.suffix == ".so"
    assert cpu_variants.checked(best) == cpu_variants.find_variant(directory)


def test_no_other_variant_with_a_higher_score_works(directory: Path) -> None:
    best = cpu_variants.best_variant(directory)
    libraries = [str(p) for p in directory.glob("libggml-cpu*.so")]
    answer = cpu_variants._child("score", *libraries)
    assert answer is not None
    scores = json.loads(answer)
    for path, value in scores.items():
        if value > scores[str(best)]:
            assert cpu_variants.checked(Path(path)) is None


def test_a_file_that_is_no_library_does_not_hide_the_others(
    tmp_path: Path, directory: Path
) -> None:
    best = cpu_variants.best_variant(directory)
    for name in ("libggml-base.so", "libggml.so", best.name):
        shutil.copy(directory / name, tmp_path / name)
    (tmp_path / "libggml-cpu-zz-broken.so").write_bytes(b"\x7fELF" + os.urandom(4000))
    assert cpu_variants.best_variant(tmp_path) == tmp_path / best.name


def test_a_directory_without_libraries_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateRefused) as caught:
        cpu_variants.best_variant(tmp_path)
    assert caught.value.code == "model_load_failed"


def test_the_child_gets_an_empty_environment(
    monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    monkeypatch.setenv("LD_PRELOAD", "/nonexistent.so")
    assert cpu_variants.best_variant(directory).exists()


def test_without_avx_the_plain_variant_computes(tmp_path: Path, directory: Path) -> None:
    """What is left on such a host: every variant that takes AVX is taken away."""
    plain = [f"libggml-cpu-{name}.so" for name in ("x64", "sse42")]
    plain = [name for name in plain if (directory / name).exists()]  # a small wheel has one
    for name in ("libggml-base.so", "libggml.so", *plain):
        shutil.copy(directory / name, tmp_path / name)
    found = cpu_variants.find_variant(tmp_path)
    assert found.path == tmp_path / plain[-1]
    assert (found.instructions, found.kernels, found.refused) == ("", (), 0)
    assert found.label == f"{plain[-1]}, no kernels of ours"


def test_a_label_says_what_multiplies_with_the_weights_of_a_model() -> None:
    kernels, name = ("Q4_K", "tiles"), "libggml-cpu-sapphirerapids.so"
    found = Variant(Path("/x") / name, "avx512-vnni", kernels, ("Q4_K",))
    ours = f"{name}, kernels avx512-vnni, without Q4_K: wrong in the self-test"
    assert found.label == found.multiplies([OURS]) == ours
    assert found.multiplies([OURS, AMX]) == f"{ours} and ggml's AMX"
    assert found.multiplies([AMX, PLAIN]) == f"{name}, ggml's AMX and ggml's own kernels"
    assert found.refused == 0b1 and replace(found, wrong=()).refused == 0


def test_a_variant_that_dies_is_not_chosen(tmp_path: Path, directory: Path) -> None:
    """A processor that claims an instruction which the system does not let it run: SIGILL."""
    best = cpu_variants.best_variant(directory)
    for name in ("libggml-base.so", "libggml.so", best.name):
        shutil.copy(directory / name, tmp_path / name)
    source = tmp_path / "x.c"
    source.write_text(
        "int ggml_backend_score(void) { return 1 << 20; }\n"
        "void *ggml_backend_init(void) { __builtin_trap(); }\n"
    )
    lying = tmp_path / "libggml-cpu-claims.so"
    subprocess.run([need_tool("gcc"), "-shared", "-fPIC", "-o", lying, source], check=True)
    assert cpu_variants.score([str(lying)])[str(lying)] == 1 << 20
    assert cpu_variants._child("check", str(lying)) is None
    assert cpu_variants.best_variant(tmp_path) == tmp_path / best.name
