"""The gate of the GPU plugins, and each thing that it refuses."""

import json
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from installer.bundle import plugin_gate
from installer.bundle.cuda_recipe import PLUGINS
from installer.bundle.cuda_wheel import facts_of
from installer.bundle.llama_recipe import Recipe
from installer.bundle.plugin_gate import check_plugin_wheel
from installer.bundle.steps import BundleError
from tests.conftest import need_tool

PLUGIN = PLUGINS["cuda13"]
PACKAGE = PLUGIN.package
RECIPE = Recipe("0.3.36", "0" * 64, ("gcc 12", "g++ 12"), "x86_64")
FACTS = facts_of(PLUGIN, RECIPE)
RPATH = f"-Wl,-rpath,{PLUGIN.runpath},--enable-new-dtags"
NEEDED = ("libggml-base.so", "libcudart.so.13", "libcublas.so.13")
Link = Callable[..., bytes]
Make = Callable[..., Path]


@pytest.fixture(scope="session")
def link(tmp_path_factory: pytest.TempPathFactory) -> Link:
    compiler = need_tool("gcc")
    directory = tmp_path_factory.mktemp("plugin")
    source = directory / "x.c"
    source.write_text("int f(void) { return 1; }\n")

    def build(*flags: str, needed: tuple[str, ...] = NEEDED) -> bytes:
        for name in needed:
            stub = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", str(source)]
            subprocess.run([*stub, "-o", str(directory / name)], check=True)
        target = directory / "libggml-cuda.so"
        command = [compiler, "-shared", "-fPIC", "-Wl,--no-as-needed", "-o", str(target)]
        command += [str(source), *(str(directory / name) for name in needed), *flags]
        subprocess.run(command, check=True)
        return target.read_bytes()

    return build


@pytest.fixture
def make(tmp_path: Path, link: Link) -> Make:
    """Write a wheel that passes the gate, but for `changes` (None leaves a member out)."""

    def write(changes: Mapping[str, bytes | None] = {}, library: bytes | None = None) -> Path:
        files: dict[str, bytes | None] = {
            f"{PACKAGE}/__init__.py": b"",
            f"{PACKAGE}/plugin.json": json.dumps(FACTS).encode(),
            f"{PACKAGE}/libggml-cuda.so": link(RPATH) if library is None else library,
            f"{PACKAGE}-0.3.36.dist-info/METADATA": b"Name: appliance-cuda13\nVersion: 0.3.36\n",
        }
        path = tmp_path / f"{PACKAGE}-0.3.36-py3-none-linux_x86_64.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for member, data in {**files, **changes}.items():
                if data is not None:
                    archive.writestr(member, data)
        return path

    return write


def test_passes_and_tells_the_glibc_needed(make: Make) -> None:
    assert check_plugin_wheel(make(), PLUGIN, build_path="/nowhere/in/it") < (2, 99)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({f"{PACKAGE}/libggml-cuda.so": None}, r"missing: \['appliance_cuda13/libggml-cuda"),
        ({f"{PACKAGE}/libcuda.so.1": b"x"}, r"unexpected: .*libcuda\.so\.1"),
        ({"llama_cpp/lib/libggml-base.so": b"x"}, r"unexpected: .*libggml-base"),
        ({"evil.pth": b"import os"}, r"unexpected: .*evil\.pth"),
        ({f"{PACKAGE}/plugin.json": b"{"}, "not a readable wheel"),
        ({f"{PACKAGE}/plugin.json": b"[]"}, "not the recipe's: architectures, cuda, driver, name"),
        ({f"{PACKAGE}/plugin.json": json.dumps(FACTS | {"driver": 1}).encode()}, "driver"),
        ({f"{PACKAGE}/__init__.py": b"# /build/place"}, "names the directory of the build"),
        ({f"{PACKAGE}/libggml-cuda.so": b"not a library"}, "libggml-cuda.so: not a 64-bit"),
    ],
)
def test_refuses_contents(make: Make, changes: Mapping[str, bytes | None], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        check_plugin_wheel(make(changes), PLUGIN, build_path="/build/place")


@pytest.mark.parametrize(
    ("flags", "needed", "message"),
    [
        ((), NEEDED, "RUNPATH None"),
        ((f"-Wl,-rpath,{PLUGIN.runpath}:,--enable-new-dtags",), NEEDED, "RUNPATH"),
        (("-Wl,-rpath,/usr/local/cuda/lib64,--enable-new-dtags",), NEEDED, "RUNPATH"),
        ((f"-Wl,-rpath,{PLUGIN.runpath},--disable-new-dtags",), NEEDED, "RUNPATH None"),
        ((RPATH,), (*NEEDED, "libcuda.so.1"), r"needs \['libcuda.so.1'\]"),
        ((RPATH,), (*NEEDED[:2], "libcublas.so.12"), r"needs \['libcublas.so.12'\]"),
        ((RPATH,), NEEDED[1:], r"does not need \['libggml-base.so'\]"),
    ],
)
def test_refuses_libraries(
    make: Make, link: Link, flags: tuple[str, ...], needed: tuple[str, ...], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        check_plugin_wheel(make(library=link(*flags, needed=needed)), PLUGIN)


def test_refuses_the_plugin_of_another_version(make: Make) -> None:
    with pytest.raises(BundleError, match="unexpected"):
        check_plugin_wheel(make(), PLUGINS["cuda12"])


def test_refuses_what_no_chunk_can_hold(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make()
    monkeypatch.setattr(plugin_gate, "MOST_BYTES", path.stat().st_size - 1)
    with pytest.raises(BundleError, match="more than"):
        check_plugin_wheel(path, PLUGIN)


def test_refuses_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(b"PK")
    with pytest.raises(BundleError, match="not a readable wheel"):
        check_plugin_wheel(tmp_path / "x.whl", PLUGIN)
