"""The device on which a model computes: chosen at every start of a worker, refused with the reason.

Rules: `cuda` gives GPUs or a refusal, never the processor. `auto` gives GPUs where they work; where
an NVIDIA driver is loaded and they do not, the processor and a lasting warning; without a driver,
the processor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.engine.protocol import LoadOnGpu
from appliance.errors import StateRefused
from appliance.workers.gpu_driver import Driver, Plugin, fitting
from appliance.workers.gpu_layers import GpuMemory, Needs, Offload, plan


@dataclass(frozen=True)
class Probe:
    """A backend's result in a child process.

    Attributes:
        gpus: those that computed a product rightly, in the backend's order.
        problem: why none can be used; "" when all computed.
        cuda: the version of CUDA that the driver's own library offers, such as "13.0"; "".
        driver_library: the path of that library; "".
    """

    gpus: tuple[GpuMemory, ...] = ()
    problem: str = ""
    cuda: str = ""
    driver_library: str = ""


@dataclass(frozen=True)
class Device:
    """Device that a worker computes on.

    Attributes:
        plugin: None for the processor alone.
        gpus: in the order of `offload.split`.
        warning: why an `auto` model is on the processor although a driver is loaded.
    """

    plugin: Plugin | None = None
    driver: Driver | None = None
    probe: Probe | None = None
    offload: Offload | None = None
    warning: str = ""

    @property
    def kind(self) -> str:
        """`cpu` or `cuda`."""
        return "cuda" if self.plugin else "cpu"

    @property
    def label(self) -> str:
        """The plugin and the driver, for the engine's name in records."""
        if self.plugin is None or self.driver is None:
            return ""
        return f"{self.plugin.name} driver {self.driver.version}"

    @property
    def backend(self) -> str:
        return str(self.plugin.library) if self.plugin else ""

    @property
    def load(self) -> LoadOnGpu | None:
        if self.plugin is None or self.driver is None or self.offload is None:
            return None
        return LoadOnGpu(self.backend, self.driver.nodes, self.offload.layers, self.offload.split)

    @property
    def text(self) -> str:
        """One line for a person."""
        if self.plugin is None or self.driver is None or self.probe is None or not self.offload:
            return f"processor: {self.warning}" if self.warning else "processor"
        return f"{self.label}: {self.offload.describe(self.probe.gpus)}"


def choose(
    wanted: str,
    layers: int | None,
    needs: Needs,
    *,
    driver: Driver | None,
    plugins: Callable[[], Sequence[Plugin]],
    engine: str,
    probe: Callable[[Plugin], Probe],
) -> Device:
    """The device of one model.

    Args:
        wanted: `auto`, `cpu` or `cuda`.
        layers: to offload, or None for what fits.
    """
    if wanted == "cpu" or (wanted == "auto" and driver is None):
        return Device(driver=driver)
    try:
        return _cuda(layers, needs, driver, plugins, engine, probe)
    except StateRefused as reason:
        if wanted == "cuda":
            raise
        return Device(driver=driver, warning=f"{reason.message} ({reason.code})")


def driver_missing() -> StateRefused:
    """The refusal of `cuda` on a host without a driver."""
    return StateRefused("gpu_driver_missing", "No NVIDIA driver is loaded on this host.")


def _cuda(
    layers: int | None,
    needs: Needs,
    driver: Driver | None,
    plugins: Callable[[], Sequence[Plugin]],
    engine: str,
    probe: Callable[[Plugin], Probe],
) -> Device:
    if driver is None:
        raise driver_missing()
    plugin = fitting(plugins(), driver, engine)
    if driver.missing:
        raise StateRefused(
            "gpu_backend_failed", f"Device files are missing: {', '.join(driver.missing)}."
        )
    found = probe(plugin)
    if found.problem or not found.gpus:
        reason = found.problem or "it found no GPU"
        raise StateRefused("gpu_backend_failed", f"The GPU plugin {plugin.name}: {reason}.")
    offload = plan(found.gpus, needs, layers)
    if not offload.layers:
        raise StateRefused("gpu_memory_insufficient", f"{offload.describe(found.gpus)}.")
    return Device(plugin, driver, found, offload)
