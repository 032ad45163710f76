"""Parts of a GPU plugin's recipe, and the CPU wheel's source."""

from dataclasses import replace
from pathlib import Path

import pytest

from installer.bundle.cuda_recipe import PLUGINS, nvcc_version, plugin_recipe, selected
from installer.bundle.llama_recipe import recipe
from installer.bundle.locks import read_lock
from installer.bundle.steps import BundleError

CUDA12, CUDA13 = PLUGINS["cuda12"], PLUGINS["cuda13"]


def nvcc(home: Path, release: str) -> Path:
    (home / "bin").mkdir()
    path = home / "bin" / "nvcc"
    path.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V{release}.7'\n")
    path.chmod(0o755)
    return path


def test_the_source_is_that_of_the_cpu_wheel() -> None:
    plugin, cpu = plugin_recipe(CUDA13), recipe()
    assert (plugin.version, plugin.sdist_sha256) == (cpu.version, cpu.sdist_sha256)
    assert plugin.key != cpu.key


def test_the_compiler_and_the_architectures_decide_the_key() -> None:
    one = selected(CUDA13, "90-real")
    assert one.architectures == ("90-real",)
    assert plugin_recipe(one).key != plugin_recipe(CUDA13).key
    assert "nvidia-cuda-nvcc==13.0.88" in plugin_recipe(CUDA13).compilers


@pytest.mark.parametrize("plugin", PLUGINS.values(), ids=PLUGINS)
def test_every_architecture_is_native_but_one(plugin: object) -> None:
    assert isinstance(plugin, type(CUDA13))
    virtual = [name for name in plugin.architectures if not name.endswith("-real")]
    assert virtual == ["90-virtual"]


@pytest.mark.parametrize("text", ["", "sm_90", "90", "90-real,90-real", "61-real", "90-real;x"])
def test_other_architectures_are_refused(text: str) -> None:
    with pytest.raises(BundleError, match="is built for"):
        selected(CUDA13, text)


def test_runtime_libraries_are_those_of_the_lock() -> None:
    for plugin in PLUGINS.values():
        names = {locked.name.removesuffix("-cu12") for locked in read_lock(plugin.lock)}
        assert names == {"nvidia-cublas", "nvidia-cuda-runtime"}
        assert len(plugin.requirements) == 2


def test_another_release_of_nvcc_is_refused(tmp_path: Path) -> None:
    path = nvcc(tmp_path, "12.4")
    assert nvcc_version(path, CUDA12) == "12.4.7"
    with pytest.raises(BundleError, match=r"cuda13 needs nvcc 13\.0, .* is 12\.4"):
        nvcc_version(path, CUDA13)
    with pytest.raises(BundleError, match="no working nvcc"):
        nvcc_version(tmp_path / "none", CUDA12)


def test_cuda12_is_built_with_a_toolkit_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_HOME", raising=False)
    with pytest.raises(BundleError, match=r"set CUDA_HOME to a CUDA 12\.4 toolkit"):
        plugin_recipe(CUDA12)
    nvcc(tmp_path, "12.4")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    first = plugin_recipe(CUDA12)
    assert "nvcc 12.4.7" in first.compilers
    assert replace(first, compilers=()).flags == first.flags
