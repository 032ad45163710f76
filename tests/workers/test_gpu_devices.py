"""`cuda` is a GPU or a refusal; `auto` falls back to the processor never without a warning."""

from pathlib import Path

import pytest

from appliance.errors import CODES, StateRefused
from appliance.workers.gpu_devices import Device, Probe, choose
from appliance.workers.gpu_driver import Driver, Plugin
from appliance.workers.gpu_layers import GpuMemory, Needs

NEEDS = Needs(layers=10, layer=90, kv=10, output=50, fixed=500)
PLUGIN = Plugin("cuda13", Path("/p/libggml-cuda.so"), 580, "13.0", ("90-real",), "0.3.36")
DRIVER = Driver("580.65.06", ("/dev/nvidiactl", "/dev/nvidia0"))
WORKS = Probe(
    (GpuMemory("NVIDIA H100", 80_000, 5000),), cuda="13.0", driver_library="/lib/libcuda.so.1"
)


def device(
    wanted: str,
    *,
    layers: int | None = None,
    driver: Driver | None = DRIVER,
    plugins: tuple[Plugin, ...] = (PLUGIN,),
    probe: Probe = WORKS,
) -> Device:
    return choose(
        wanted, layers, NEEDS, driver=driver, plugins=lambda: plugins, engine="0.3.36",
        probe=lambda _: probe,
    )  # fmt: skip


BROKEN = {
    "gpu_driver_missing": {"driver": None},
    "gpu_driver_too_old": {"driver": Driver("470.1")},
    "gpu_plugin_missing": {"plugins": ()},
    "gpu_backend_failed": {"probe": Probe(problem="it ended the process with SIGSEGV")},
    "gpu_memory_insufficient": {"layers": 11, "probe": Probe((GpuMemory("a", 900, 900),))},
}


@pytest.mark.parametrize("wanted", ["cuda", "auto"])
def test_a_gpu_that_works_is_used(wanted: str) -> None:
    found = device(wanted)
    assert (found.kind, found.warning, found.backend) == ("cuda", "", "/p/libggml-cuda.so")
    assert found.label == "cuda13 driver 580.65.06"
    assert found.text.startswith("cuda13 driver 580.65.06: 11 of 11 layers on GPUs")
    assert found.load is not None
    assert (found.load.layers, found.load.split) == (11, (11,))
    assert found.load.devices == DRIVER.nodes


@pytest.mark.parametrize("code", BROKEN)
def test_cuda_is_refused_with_the_reason(code: str) -> None:
    with pytest.raises(StateRefused) as caught:
        device("cuda", **BROKEN[code])  # type: ignore[arg-type]
    assert caught.value.code == code in CODES


@pytest.mark.parametrize("code", sorted(BROKEN.keys() - {"gpu_driver_missing"}))
def test_auto_with_a_driver_is_loud(code: str) -> None:
    found = device("auto", **BROKEN[code])  # type: ignore[arg-type]
    assert (found.kind, found.load, found.label) == ("cpu", None, "")
    assert code in found.warning
    assert found.warning in found.text


def test_auto_without_a_driver_is_the_processor() -> None:
    found = device("auto", driver=None)
    assert (found.kind, found.warning, found.text) == ("cpu", "", "processor")


def fail(*_: object) -> Probe:
    pytest.fail("asked for although it is not needed")


@pytest.mark.parametrize(("wanted", "driver"), [("cpu", DRIVER), ("cpu", None), ("auto", None)])
def test_nothing_is_tried_where_nothing_is_wanted(wanted: str, driver: Driver | None) -> None:
    found = choose(wanted, None, NEEDS, driver=driver, plugins=fail, engine="0.3.36", probe=fail)  # type: ignore[arg-type]
    assert (found.kind, found.warning) == ("cpu", "")


@pytest.mark.parametrize(
    ("probe", "driver", "message"),
    [
        (Probe(), DRIVER, "found no GPU"),
        (Probe((GpuMemory("a", 100, 100),)), DRIVER, "no GPU has room"),
        (WORKS, Driver("580.1", (), ("/dev/nvidia-uvm",)), "Device files are missing: /dev/nvidia"),
    ],
)
def test_other_reasons(probe: Probe, driver: Driver, message: str) -> None:
    with pytest.raises(StateRefused, match=message):
        device("cuda", probe=probe, driver=driver)
