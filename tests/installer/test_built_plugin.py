"""The plugin that `make wheel-cuda13` built, with NVIDIA's libraries, on a host without a GPU.

It comes over the stick, loads, and says why it finds no GPU; without its libraries it names the
missing one. Skipped without a plugin or its libraries (docs/gpu.md).
"""

import zipfile
from functools import partial
from pathlib import Path

import pytest

from appliance.errors import StateRefused
from appliance.workers.cpu_variants import library_directory
from appliance.workers.gpu_devices import choose
from appliance.workers.gpu_driver import Driver, Plugin, driver_facts, fitting, read_plugin
from appliance.workers.gpu_probe import probe
from installer.bundle import plugins
from installer.bundle.cache import cache_root
from installer.bundle.cuda_recipe import PLUGINS, plugin_recipe, selected
from installer.bundle.media import Source
from installer.bundle.plugin_gate import check_plugin_wheel
from installer.bundle.wheel_cache import cached
from tests.installer.bench import Bench
from tests.installer.test_plugins import DRIVER, ENGINE, NEEDS, brought

CACHE = cache_root() / "cuda-wheels"
LIBRARIES = CACHE / "libraries"


@pytest.fixture(scope="module")
def built() -> Path:
    for architectures in (None, "90-real"):
        plugin = selected(PLUGINS["cuda13"], architectures)
        wheel = cached(CACHE, plugin_recipe(plugin), partial(check_plugin_wheel, plugin=plugin))
        if wheel is not None:
            return wheel.path
    pytest.skip("no plugin was built here: make wheel-cuda13 ARCHS=90-real")


@pytest.fixture(scope="module")
def carried(built: Path) -> list[tuple[str, Path]]:
    libraries = sorted(LIBRARIES.glob("*.whl"))
    if not libraries:
        pytest.skip(f"NVIDIA's libraries are not in {LIBRARIES} (docs/gpu.md)")
    found = [("cuda13", path) for path in (built, *libraries)]
    plugins.check(found)
    return found


def test_alone_it_names_the_library_that_is_missing(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path)
    found = probe(read_plugin(tmp_path / "appliance_cuda13", "cuda13"), library_directory())
    assert not found.gpus
    assert "does not load" in found.problem and ".so.13" in found.problem, found.problem


@pytest.fixture(scope="module")
def installed(carried: list[tuple[str, Path]], tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    """The plugin of an installation on a host whose driver is stated."""
    bench = Bench(tmp_path_factory.mktemp("b"))
    extra = tuple(Source(path.name, "plugin", path, name) for name, path in carried)
    bench.bundle(extra=extra, chunk=1_900_000_000)
    bench.hook(DRIVER.format(driver=580))
    done = bench.install()
    assert done.returncode == 0, done.stderr
    assert brought(bench) == ["appliance_cuda13"] and bench.is_whole()
    (place,) = bench.prefix.rglob("releases/1.0/**/appliance_cuda13")
    return read_plugin(place, "cuda13")


@pytest.mark.slow
def test_it_loads_from_the_stick_and_says_why_there_is_no_gpu(installed: Plugin) -> None:
    if driver_facts() is not None:
        pytest.skip("an NVIDIA driver is loaded on this host")
    driver = Driver("580.65.06", ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia0"))
    assert fitting([installed], driver, ENGINE) == installed
    found = probe(installed, library_directory())
    assert found.gpus == () and "CUDA" in found.problem, found.problem
    assert "does not load" not in found.problem and "ended the process" not in found.problem
    arguments = {"driver": driver, "plugins": lambda: [installed], "engine": ENGINE}
    with pytest.raises(StateRefused) as refused:
        choose("cuda", None, NEEDS, probe=lambda _: found, **arguments)  # type: ignore[arg-type]
    assert refused.value.code == "gpu_backend_failed" and found.problem in refused.value.message
    fallen = choose("auto", None, NEEDS, probe=lambda _: found, **arguments)  # type: ignore[arg-type]
    assert fallen.kind == "cpu" and found.problem in fallen.text
