"""The key covers what decides the wheel; the caller's environment decides nothing else."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from installer.bundle import llama_recipe
from installer.bundle.llama_recipe import Recipe, build_environment, recipe
from installer.bundle.steps import BundleError

BASE = Recipe("1.0", "0" * 64, ("gcc 12", "g++ 12"), "x86_64")


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, version="1.1"),
        replace(BASE, sdist_sha256="1" * 64),
        replace(BASE, compilers=("gcc 12", "g++ 13")),
        replace(BASE, machine="aarch64"),
        replace(BASE, flags=(*BASE.flags, "-DGGML_NATIVE=ON")),
        replace(BASE, settings=()),
        replace(BASE, source_date_epoch=1),
        replace(BASE, variants=("x64",)),
        replace(BASE, kernels="0" * 64),
    ],
)
def test_every_part_changes_the_key(other: Recipe) -> None:
    assert other.key != BASE.key
    assert replace(BASE).key == BASE.key


def test_the_locked_sdist_and_the_compiler_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++ -v")
    found = recipe()
    assert found.version == "0.3.36"
    assert len(found.sdist_sha256) == 64
    assert "g++" in found.compilers[1]


def test_no_compiler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(BundleError, match="no-such-compiler"):
        recipe()


@pytest.mark.parametrize(
    "text",
    [
        "llama-cpp-python==0.3.36\n",
        f"other==1 --hash=sha256:{'0' * 64}\n",
        f"llama-cpp-python==1 --hash=sha256:{'0' * 64} --hash=sha256:{'1' * 64}\n",
    ],
)
def test_a_lock_without_one_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "lock.txt").write_text(text)
    monkeypatch.setattr(llama_recipe, "LOCK", tmp_path / "lock.txt")
    with pytest.raises(BundleError, match=r"lock\.txt"):
        recipe()


def test_environment_of_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = (
        "CFLAGS",
        "CXXFLAGS",
        "LDFLAGS",
        "CMAKE_PREFIX_PATH",
        "SKBUILD_BUILD_TYPE",
        "DESTDIR",
    )
    for name in (*hostile, "LIBRARY_PATH", "MAKEFLAGS", "NINJA_STATUS", "GGML_CUDA"):
        monkeypatch.setenv(name, "-march=native")
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_NATIVE=ON")
    monkeypatch.setenv("CMAKE_BUILD_PARALLEL_LEVEL", "1")
    monkeypatch.setenv("CC", "gcc-14")
    env = build_environment(tmp_path / "a b")
    assert "-march=native" not in env.values()
    assert (env["CC"], env["CMAKE_BUILD_PARALLEL_LEVEL"]) == ("gcc-14", "1")
    arguments = shlex.split(env["CMAKE_ARGS"])
    assert "-DGGML_NATIVE=OFF" in arguments
    assert "-DCMAKE_INSTALL_RPATH=$ORIGIN" in arguments
    assert f"-DCMAKE_C_FLAGS=-ffile-prefix-map={tmp_path}/a b=." in arguments
    assert len(arguments) == len(llama_recipe.FLAGS)


def test_the_variants_are_an_argument_of_cmake() -> None:
    few = replace(BASE, variants=("x64", "zen4"))
    assert few.arguments == (*BASE.flags, "-DAPPLIANCE_CPU_VARIANTS=x64;zen4")
