"""Driver and plugins are read as they are; the one that fits is taken, or none with the reason."""

import json
from pathlib import Path

import pytest

from appliance.errors import StateRefused
from appliance.workers.gpu_driver import Driver, Plugin, driver_facts, fitting, read_plugin

OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (x)\n"
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.261.03  Tue Feb 1 2025\n"
FACTS = {
    "name": "cuda13", "driver": 580, "cuda": "13.0", "architectures": ["90-real"],
    "llama_cpp_python": "0.3.36", "sdist_sha256": "0" * 64,
}  # fmt: skip


def plugin(name: str, driver: int, engine: str = "0.3.36") -> Plugin:
    return Plugin(name, Path(f"/{name}.so"), driver, "13.0", ("90-real",), engine)


BOTH = [plugin("cuda13", 580), plugin("cuda12", 525)]


def host(root: Path, text: str, *nodes: str) -> Driver | None:
    (root / "dev").mkdir()
    (root / "proc" / "driver" / "nvidia").mkdir(parents=True)
    (root / "proc" / "driver" / "nvidia" / "version").write_text(text)
    for node in nodes:
        (root / "dev" / node).touch()
    return driver_facts(root / "proc", root / "dev")


@pytest.mark.parametrize(
    ("text", "version", "major"),
    [
        (OPEN, "580.65.06", 580),
        (CLOSED, "535.261.03", 535),
        ("NVRM version: something else\n", "unknown", 0),
        ("", "unknown", 0),
        ("\0" * 100_000, "unknown", 0),
    ],
)
def test_the_version_of_the_kernel_module(
    tmp_path: Path, text: str, version: str, major: int
) -> None:
    found = host(tmp_path, text)
    assert found is not None
    assert (found.version, found.major) == (version, major)


def test_without_a_driver_there_is_none(tmp_path: Path) -> None:
    assert driver_facts(tmp_path, tmp_path) is None


def test_device_files(tmp_path: Path) -> None:
    found = host(tmp_path, OPEN, "nvidiactl", "nvidia0", "nvidia1", "nvidia-modeset", "nvidia0x")
    assert found is not None
    names = [Path(node).name for node in found.nodes]
    assert names == ["nvidiactl", "nvidia0", "nvidia1"]
    assert [Path(node).name for node in found.missing] == ["nvidia-uvm"]


@pytest.mark.parametrize(
    ("driver", "name"),
    [("580.65.06", "cuda13"), ("600.1", "cuda13"), ("579.99", "cuda12"), ("525.60.13", "cuda12")],
)
def test_the_newest_plugin_that_the_driver_runs(driver: str, name: str) -> None:
    assert fitting(BOTH, Driver(driver), "0.3.36").name == name


@pytest.mark.parametrize(
    ("plugins", "driver", "code"),
    [
        ([], "580.1", "gpu_plugin_missing"),
        (BOTH, "524.9", "gpu_driver_too_old"),
        (BOTH, "unknown", "gpu_driver_too_old"),
        (BOTH[:1], "550.1", "gpu_driver_too_old"),
        ([plugin("cuda13", 580, "0.3.35")], "580.1", "gpu_plugin_mismatch"),
    ],
)
def test_no_plugin_fits(plugins: list[Plugin], driver: str, code: str) -> None:
    with pytest.raises(StateRefused) as caught:
        fitting(plugins, Driver(driver), "0.3.36")
    assert caught.value.code == code


def write(directory: Path, text: str) -> Path:
    (directory / "plugin.json").write_text(text)
    (directory / "libggml-cuda.so").touch()
    return directory


def test_a_plugin_is_read(tmp_path: Path) -> None:
    found = read_plugin(write(tmp_path, json.dumps(FACTS)), "cuda13")
    assert (found.driver, found.engine) == (580, "0.3.36")
    assert found.library == tmp_path / "libggml-cuda.so"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", json.dumps(FACTS | {"driver": "new"}), json.dumps(FACTS | {"name": "cuda12"})],
)
def test_a_damaged_plugin_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(StateRefused) as caught:
        read_plugin(write(tmp_path, text), "cuda13")
    assert caught.value.code == "gpu_plugin_mismatch"


def test_a_plugin_without_its_library_is_refused(tmp_path: Path) -> None:
    write(tmp_path, json.dumps(FACTS))
    (tmp_path / "libggml-cuda.so").unlink()
    with pytest.raises(StateRefused, match="not complete"):
        read_plugin(tmp_path, "cuda13")
