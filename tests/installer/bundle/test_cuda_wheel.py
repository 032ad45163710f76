"""The built project, the cache, and a build's wheel, if there is one."""

import json
import tomllib
from pathlib import Path

import pytest

from installer.bundle.cache import cache_root
from installer.bundle.cuda_recipe import PLUGINS, plugin_recipe, selected
from installer.bundle.cuda_wheel import facts_of, write_project
from installer.bundle.llama_recipe import Recipe
from installer.bundle.plugin_gate import check_plugin_wheel
from installer.bundle.wheel_cache import cached
from installer.bundle.wheel_facts import read_wheel

PLUGIN = PLUGINS["cuda13"]
RECIPE = Recipe("0.3.36", "5" * 64, ("gcc 12", "g++ 12"), "x86_64")


def test_the_project_asks_for_exact_libraries(tmp_path: Path) -> None:
    source = tmp_path / "source" / "vendor" / "llama.cpp"
    source.mkdir(parents=True)
    (source / "LICENSE").write_text("MIT License")
    write_project(tmp_path, PLUGIN, RECIPE)
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())
    assert project["project"]["name"] == "appliance-cuda13"
    assert project["project"]["version"] == "0.3.36"
    assert project["project"]["dependencies"] == [
        "llama-cpp-python==0.3.36", "nvidia-cublas==13.0.2.14", "nvidia-cuda-runtime==13.0.96",
    ]  # fmt: skip
    assert "COMPONENT plugin" in (tmp_path / "CMakeLists.txt").read_text()
    facts = json.loads((tmp_path / PLUGIN.package / "plugin.json").read_text())
    assert facts == facts_of(PLUGIN, RECIPE)
    assert (facts["sdist_sha256"], facts["driver"]) == ("5" * 64, 580)


@pytest.mark.parametrize("architectures", [None, "90-real"])
def test_the_wheel_that_was_built_passes(architectures: str | None) -> None:
    plugin = selected(PLUGIN, architectures)
    root, wanted = cache_root() / "cuda-wheels", plugin_recipe(plugin)
    wheel = cached(root, wanted, lambda path: check_plugin_wheel(path, plugin))
    if wheel is None:
        pytest.skip(f"no wheel for {architectures or 'all GPUs'} here: make wheel-cuda13")
    assert wheel.facts["plugin"] == facts_of(plugin, wanted)
    assert read_wheel(wheel.path).name == "appliance-cuda13"
    assert wheel.facts["size"] < 1_900_000_000
