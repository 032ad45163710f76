"""`doctor` names driver, plugin and backend, and has no problem where no driver is."""

from pathlib import Path

import pytest

from appliance.cli import gpu
from appliance.cli.gpu import gpu_report
from appliance.errors import StateRefused
from appliance.workers.gpu_devices import Probe
from appliance.workers.gpu_driver import Driver, Plugin
from appliance.workers.gpu_layers import GpuMemory

PLUGIN = Plugin("cuda13", Path("/p/libggml-cuda.so"), 580, "13.0", ("90-real",), "0.3.36")


def host(
    monkeypatch: pytest.MonkeyPatch, driver: Driver | None, plugins: list[Plugin], probe: Probe
) -> None:
    monkeypatch.setattr(gpu, "driver_facts", lambda: driver)
    monkeypatch.setattr(gpu, "installed_plugins", lambda: plugins)
    monkeypatch.setattr(gpu, "probe", lambda *_: probe)
    monkeypatch.setattr(gpu, "version", lambda _: "0.3.36")


def test_no_driver_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    host(monkeypatch, None, [PLUGIN], Probe())
    report = gpu_report()
    assert report.problems == []
    assert report.lines() == ["no NVIDIA driver is loaded; plugins installed: cuda13"]
    assert report.document()["driver"] is None


def test_everything_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    works = Probe(
        (GpuMemory("NVIDIA H100", 80 << 30, 79 << 30),), driver_library="/lib/libcuda.so.1"
    )
    host(monkeypatch, Driver("580.65.06"), [PLUGIN], works)
    report = gpu_report()
    text = "\n".join(report.lines())
    assert report.problems == []
    assert all(part in text for part in ("580.65.06", "/p/libggml-cuda.so", "80896 of 81920 MiB"))
    assert report.document()["driver_library"] == "/lib/libcuda.so.1"


@pytest.mark.parametrize(
    ("driver", "plugins", "probe", "code"),
    [
        (Driver("580.1"), [], Probe(), "gpu_plugin_missing"),
        (Driver("470.1"), [PLUGIN], Probe(), "gpu_driver_too_old"),
        (Driver("580.1"), [PLUGIN], Probe(problem="SIGSEGV"), "gpu_backend_failed"),
        (Driver("580.1"), [PLUGIN], Probe(), "gpu_backend_failed"),
        (Driver("580.1", (), ("/dev/nvidia0",)), [PLUGIN], Probe(), "gpu_backend_failed"),
    ],
)
def test_a_driver_that_cannot_be_used_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, driver: Driver, plugins: list[Plugin], probe: Probe, code: str
) -> None:
    host(monkeypatch, driver, plugins, probe)
    assert [problem.code for problem in gpu_report().problems] == [code]


def test_a_damaged_plugin_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    host(monkeypatch, None, [], Probe())

    def damaged() -> list[Plugin]:
        raise StateRefused("gpu_plugin_mismatch", "damaged")

    monkeypatch.setattr(gpu, "installed_plugins", damaged)
    assert [problem.code for problem in gpu_report().problems] == ["gpu_plugin_mismatch"]
