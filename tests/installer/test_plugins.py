"""GPU plugins on the stick: chosen by the driver, tried before use, refused aloud.

The library in these wheels is a stand-in with the entry points of a ggml backend that has no GPUs;
`test_built_plugin.py` has the built one.
"""

import base64
import hashlib
import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from appliance.errors import StateRefused
from appliance.workers.cpu_variants import library_directory
from appliance.workers.gpu_devices import choose
from appliance.workers.gpu_driver import Driver, Plugin, fitting, read_plugin
from appliance.workers.gpu_layers import Needs
from appliance.workers.gpu_probe import probe
from installer.bundle.cuda_recipe import PLUGINS
from installer.bundle.cuda_wheel import facts_of
from installer.bundle.llama_recipe import Recipe
from installer.bundle.media import Source
from installer.host.units import MOUNTED
from tests.conftest import need_tool
from tests.installer.bench import Bench

ENGINE = "0.3.36"
NEEDS = Needs(layers=10, layer=90, kv=10, output=50, fixed=500)
DRIVER = """
from dataclasses import replace
from installer.host import facts

seen = facts.host
facts.host = lambda: replace(seen(), gpu=True, driver={driver})
"""
SYSTEM = """
from dataclasses import replace
from pathlib import Path
from installer.host import system

render = system.render

def rendered(layout, answers, release, target, **named):
    render(layout, answers, release, target, **named)
    elsewhere = Path(os.environ["HOME"], "of-root")
    elsewhere.mkdir(exist_ok=True)
    render(replace(layout, user=False), answers, release, elsewhere, **named)

system.render = rendered
"""
"""Writes the units of an installation by root, too, outside of the release."""
BACKEND = """
#include <stddef.h>

struct registration {
    int api_version;  /* GGML_BACKEND_API_VERSION, ggml-backend-impl.h */
    const char *(*name)(void *);
    size_t (*count)(void *);
    void *(*device)(void *, size_t);
    void *(*address)(void *, const char *);
    void *context;
};

static const char *name(void *self) { return "CUDA"; }
static size_t count(void *self) { return 0; }  /* a host without a GPU */
static void *device(void *self, size_t index) { return NULL; }
static struct registration backend = {2, name, count, device, NULL, NULL};

void *ggml_backend_init(void) { return &backend; }
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return compiled(tmp_path_factory.mktemp("plugin"))


def compiled(place: Path, *flags: str) -> bytes:
    (place / "x.c").write_text(BACKEND)
    command = [need_tool("gcc"), "-shared", "-fPIC", "-o", str(place / "x.so"), str(place / "x.c")]
    subprocess.run([*command, *flags], check=True)
    return (place / "x.so").read_bytes()


def plugin_wheel(directory: Path, name: str, library: bytes) -> Path:
    plugin = PLUGINS[name]
    facts = facts_of(plugin, Recipe(ENGINE, "0" * 64, ("gcc",), "x86_64"))
    info = f"{plugin.package}-{ENGINE}.dist-info"
    files = {
        f"{plugin.package}/__init__.py": b"",
        f"{plugin.package}/plugin.json": json.dumps(facts).encode(),
        f"{plugin.package}/libggml-cuda.so": library,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {plugin.package}\n".encode(),
    }
    record = "".join(f"{n},sha256={_digest(data)},{len(data)}\n" for n, data in files.items())
    directory.mkdir(exist_ok=True)
    path = directory / f"{plugin.package}-{ENGINE}-py3-none-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in {**files, f"{info}/RECORD": record.encode()}.items():
            archive.writestr(zipfile.ZipInfo(member), data)
    return path


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def stocked(bench: Bench, library: bytes) -> Bench:
    """A stick with a plugin for each major version of CUDA."""
    wheels = {name: plugin_wheel(bench.place / "p", name, library) for name in PLUGINS}
    extra = tuple(Source(path.name, "plugin", path, name) for name, path in wheels.items())
    bench.bundle(extra=extra)
    return bench


def brought(bench: Bench) -> list[str]:
    return sorted(path.parent.name for path in bench.prefix.rglob("releases/1.0/**/plugin.json"))


@pytest.mark.parametrize(
    ("driver", "plugins"),
    [(590, ["appliance_cuda13"]), (550, ["appliance_cuda12"]), (470, []), (None, [])],
)
def test_the_plugin_follows_the_driver(
    bench: Bench, library: bytes, driver: int | None, plugins: list[str]
) -> None:
    stocked(bench, library).hook(DRIVER.format(driver=driver))
    done = bench.install()
    assert done.returncode == 0, done.stderr
    assert ("GPU PRESENT, NOT USED" in done.stderr) == (not plugins)
    assert brought(bench) == plugins
    assert bench.is_whole()


@pytest.mark.parametrize("driver", [590, None])
def test_the_service_sees_the_gpu_where_there_is_a_plugin(
    bench: Bench, library: bytes, driver: int | None
) -> None:
    stocked(bench, library).hook(DRIVER.format(driver=driver) + SYSTEM)
    done = bench.install()
    assert done.returncode == 0, done.stderr
    text = (bench.home / "of-root" / "units" / "appliance.service").read_text()
    assert ("DeviceAllow=/dev/nvidia0 rw" in text) == (driver is not None)


def test_what_systemd_mounts_onto_is_no_change(bench: Bench, library: bytes) -> None:
    stocked(bench, library).hook(DRIVER.format(driver=590))
    assert bench.install().returncode == 0
    for name in MOUNTED:
        path = bench.prefix / "current" / "root" / name
        path.touch()
        assert bench.is_whole()
        path.write_bytes(b"a library")
        assert not bench.is_whole()
        path.unlink()


def test_a_driver_that_comes_later_brings_its_plugin(bench: Bench, library: bytes) -> None:
    stocked(bench, library)
    assert bench.install().returncode == 0
    assert brought(bench) == []
    bench.hook(DRIVER.format(driver=590))
    done = bench.install()  # the same stick again
    assert done.returncode == 0, done.stderr
    assert brought(bench) == ["appliance_cuda13"]
    assert bench.is_whole()


def test_a_plugin_that_is_flipped_on_the_stick_is_refused(bench: Bench, library: bytes) -> None:
    stocked(bench, library).hook(DRIVER.format(driver=590))
    digest = hashlib.sha256(
        plugin_wheel(bench.place / "p", "cuda13", library).read_bytes()
    ).hexdigest()
    path = bench.stick / "blobs" / f"{digest}.000"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = bench.install()
    assert done.returncode == 1 and "file_changed" in done.stderr
    bench.unhook()
    assert bench.footprint() == {}


@pytest.fixture
def installed(bench: Bench, library: bytes) -> Plugin:
    stocked(bench, library).hook(DRIVER.format(driver=590))
    assert bench.install().returncode == 0
    (place,) = bench.prefix.rglob("releases/1.0/**/appliance_cuda13")
    return read_plugin(place, "cuda13")


def test_it_loads_without_a_gpu_and_says_so(installed: Plugin) -> None:
    driver = Driver("590.44", ("/dev/nvidiactl", "/dev/nvidia0"))
    assert fitting([installed], driver, ENGINE) == installed
    found = probe(installed, library_directory())
    assert found.gpus == () and found.problem == "it found no GPU"
    arguments = {"driver": driver, "plugins": lambda: [installed], "engine": ENGINE}
    with pytest.raises(StateRefused, match="found no GPU") as refused:
        choose("cuda", None, NEEDS, probe=lambda _: found, **arguments)  # type: ignore[arg-type]
    assert refused.value.code == "gpu_backend_failed"
    fallen = choose("auto", None, NEEDS, probe=lambda _: found, **arguments)  # type: ignore[arg-type]
    assert fallen.kind == "cpu" and "gpu_backend_failed" in fallen.text


def test_without_its_libraries_it_names_the_one_that_is_missing(
    installed: Plugin, tmp_path: Path
) -> None:
    # A version that is on no machine: this one may have a CUDA toolkit of its own.
    empty = tmp_path / "e.c"
    empty.write_text("int f(void) { return 0; }\n")
    stub = tmp_path / "libcudart.so.99"
    command = [need_tool("gcc"), "-shared", "-fPIC", "-Wl,-soname,libcudart.so.99"]
    subprocess.run([*command, "-o", str(stub), str(empty)], check=True)
    library = compiled(tmp_path, "-Wl,--no-as-needed", str(stub))
    stub.unlink()
    installed.library.chmod(0o644)
    installed.library.write_bytes(library)
    found = probe(installed, library_directory())
    assert "libcudart.so.99" in found.problem and "does not load" in found.problem
