"""Builds a CUDA plugin wheel from the hash-locked llama.cpp source, once per recipe.

Rules
- Same source as the CPU wheel: the sdist of `offline-wheels/lock-llama.txt`, or nothing is built.
- For cuda13 the compiler comes as locked wheels.
- Cached as `cuda-wheels/<key of the recipe>/`; every wheel given out passed the gate.
"""

import argparse
import json
import os
import shutil
from importlib import metadata
from pathlib import Path
from string import Template
from typing import Final

from installer.bundle import wheel_cache
from installer.bundle.cache import cache_root
from installer.bundle.cuda_recipe import (
    PLUGINS,
    Plugin,
    nvcc_version,
    plugin_recipe,
    selected,
    toolkit_of_host,
)
from installer.bundle.llama_recipe import Recipe, build_environment
from installer.bundle.llama_wheel import fetch_source
from installer.bundle.plugin_gate import FACTS, check_plugin_wheel
from installer.bundle.steps import command_line, run_pip, say
from installer.bundle.wheel_cache import Wheel

_PROJECT: Final = Template("""\
[build-system]
requires = []
build-backend = "scikit_build_core.build"

[project]
name = "$dist"
version = "$version"
description = "The CUDA backend of llama.cpp for the appliance, $name."
license = "MIT"
license-files = ["LICENSE"]
requires-python = ">=3.11"
dependencies = $dependencies

[tool.scikit-build]
cmake.build-type = "Release"
build.targets = ["ggml-cuda"]
install.components = ["plugin"]
install.strip = true
wheel.py-api = "py3"
wheel.packages = ["$package"]
""")

_CMAKE: Final = Template("""\
cmake_minimum_required(VERSION 3.24)
project($package C CXX)
add_subdirectory(source/vendor/llama.cpp/ggml ggml EXCLUDE_FROM_ALL)
install(TARGETS ggml-cuda LIBRARY DESTINATION $package COMPONENT plugin)
""")


def obtain(root: Path, plugin: Plugin) -> Wheel:
    """Built if the cache does not hold it."""

    def build(part: Path, wanted: Recipe) -> Path:
        return _build(part, wanted, plugin)

    def gate(path: Path) -> object:
        return check_plugin_wheel(path, plugin)

    return wheel_cache.obtain(root, plugin_recipe(plugin), build, gate)


def write_project(part: Path, plugin: Plugin, wanted: Recipe) -> None:
    """Write a project with only the plugin; its source is in `part/source`."""
    names = {
        "dist": plugin.package.replace("_", "-"),
        "name": plugin.name,
        "package": plugin.package,
        "version": wanted.version,
        "dependencies": json.dumps([f"llama-cpp-python=={wanted.version}", *plugin.requirements]),
    }
    (part / "pyproject.toml").write_text(_PROJECT.substitute(names))
    (part / "CMakeLists.txt").write_text(_CMAKE.substitute(names))
    shutil.copyfile(part / "source" / "vendor" / "llama.cpp" / "LICENSE", part / "LICENSE")
    package = part / plugin.package
    package.mkdir()
    (package / "__init__.py").write_text(f'"""llama.cpp\'s CUDA backend, {plugin.name}."""\n')
    (package / FACTS).write_text(json.dumps(facts_of(plugin, wanted), indent=2) + "\n")


def facts_of(plugin: Plugin, wanted: Recipe) -> dict[str, object]:
    """The facts that the product reads before it loads the library."""
    return {
        "name": plugin.name,
        "driver": plugin.driver,
        "cuda": plugin.release,
        "architectures": list(plugin.architectures),
        "llama_cpp_python": wanted.version,
        "sdist_sha256": wanted.sdist_sha256,
    }


def _build(part: Path, wanted: Recipe, plugin: Plugin) -> Path:
    for name in ("sdist", "tmp", "done"):
        (part / name).mkdir()
    toolkit = _toolkit(part, plugin)
    nvcc = nvcc_version(toolkit / "bin" / "nvcc", plugin)
    flags = [flag.replace("{toolkit}", str(toolkit)) for flag in wanted.flags]
    env = build_environment(part, flags)
    env["CUDAHOSTCXX"] = env["CXX"]
    fetch_source(part, wanted, env)
    write_project(part, plugin, wanted)
    count = len(plugin.architectures)
    say(
        f"Building {plugin.name} with nvcc {nvcc} for {', '.join(plugin.architectures)}: "
        f"about {28 * count} minutes of processor time"
    )
    run_pip(
        *("wheel", "-v", "--no-deps", "--no-build-isolation", "--no-cache-dir"),
        *(f"--config-settings={s.replace('{build}', str(part))}" for s in wanted.settings),
        *("-w", str(part / "done"), str(part)),
        what=plugin.name,
        log=part / "build.log",
        env=env,
    )
    wheel = next((part / "done").glob("*.whl"))
    glibc = check_plugin_wheel(wheel, plugin, build_path=str(part))
    tools = {name: metadata.version(name) for name in ("cmake", "ninja", "scikit-build-core")}
    wheel_cache.record(
        part / "done",
        wanted,
        wheel,
        glibc="{}.{}".format(*glibc),
        nvcc=nvcc,
        tools=tools,
        **{"plugin": facts_of(plugin, wanted)},
    )
    return part / "done"


def _toolkit(part: Path, plugin: Plugin) -> Path:
    """A directory with `bin/nvcc`, headers and libraries under the names that linkers expect."""
    if plugin.build_lock is None:
        return toolkit_of_host(plugin)
    say(f"Fetching the compiler of {plugin.name} as locked wheels (530 MB)")
    run_pip(
        *("install", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-compile"),
        *("--target", str(part / "toolkit"), "-r", str(plugin.build_lock)),
        what="download",
        log=part / "toolkit.log",
    )
    root = part / "toolkit" / "nvidia" / "cu13"
    for library in sorted((root / "lib").glob("lib*.so.*")):
        plain = library.with_name(library.name.split(".so.")[0] + ".so")
        if not plain.exists():
            plain.symlink_to(library.name)
    (root / "lib64").symlink_to("lib")
    return root


def main() -> None:
    """Command line: build if needed, print wheel and digest; nothing is installed."""
    parser = argparse.ArgumentParser(prog="python -m installer.bundle.cuda_wheel")
    parser.add_argument("plugin", choices=sorted(PLUGINS))
    parser.add_argument("--architectures", help="only these, e.g. 90-real or 86-real,89-real")
    options = parser.parse_args()
    plugin = selected(PLUGINS[options.plugin], options.architectures or None)
    wheel = obtain(cache_root() / "cuda-wheels", plugin)
    print(f"{plugin.name} wheel {wheel.path}")
    size = wheel.facts["size"] / 1e6
    print(f"sha256 {wheel.sha256}, {size:.1f} MB, needs glibc {wheel.facts['glibc']}")
    print(f"runtime libraries: {os.path.relpath(plugin.lock)}")


if __name__ == "__main__":
    command_line(main)
