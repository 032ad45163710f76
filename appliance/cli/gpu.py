"""GPU part of `doctor`: driver, plugin, backend library, and each GPU's results.

Rules: a backend is tried in a child process only, and only where a driver is loaded.
"""

from dataclasses import asdict, dataclass
from importlib.metadata import version

from appliance.errors import StateRefused
from appliance.types import JsonValue
from appliance.workers.cpu_variants import library_directory
from appliance.workers.gpu_devices import Probe
from appliance.workers.gpu_driver import Driver, Plugin, driver_facts, fitting, installed_plugins
from appliance.workers.gpu_probe import probe
from appliance.workers.memory_estimate import MIB


@dataclass(frozen=True)
class GpuReport:
    """The host's GPUs as they are now."""

    driver: Driver | None = None
    plugins: tuple[Plugin, ...] = ()
    plugin: Plugin | None = None
    probe: Probe | None = None
    problem: StateRefused | None = None

    @property
    def problems(self) -> list[StateRefused]:
        """Empty where no driver is loaded."""
        return [self.problem] if self.problem else []

    def document(self) -> dict[str, JsonValue]:
        return {
            "driver": asdict(self.driver) if self.driver else None,
            "plugins": [plugin.name for plugin in self.plugins],
            "plugin": self.plugin.name if self.plugin else None,
            "backend": str(self.plugin.library) if self.plugin else None,
            "driver_library": self.probe.driver_library if self.probe else None,
            "gpus": [asdict(gpu) for gpu in self.probe.gpus] if self.probe else [],
        }

    def lines(self) -> list[str]:
        names = ", ".join(plugin.name for plugin in self.plugins) or "none"
        if self.driver is None:
            return [f"no NVIDIA driver is loaded; plugins installed: {names}"]
        found = [f"NVIDIA driver {self.driver.version}; plugins installed: {names}"]
        if self.plugin:
            found.append(f"backend {self.plugin.library}")
        for gpu in self.probe.gpus if self.probe else ():
            found.append(f"{gpu.name}, {gpu.free // MIB} of {gpu.total // MIB} MiB free")
        return found


def gpu_report() -> GpuReport:
    """Look at the host, and try the plugin that fits."""
    driver = driver_facts()
    try:
        plugins = tuple(installed_plugins())
    except StateRefused as error:
        return GpuReport(driver, problem=error)
    if driver is None:
        return GpuReport(None, plugins)
    try:
        plugin = fitting(plugins, driver, version("llama-cpp-python"))
    except StateRefused as error:
        return GpuReport(driver, plugins, problem=error)
    found = probe(plugin, library_directory())
    reason = found.problem or ("" if found.gpus else "it found no GPU")
    if driver.missing:
        reason = f"device files are missing: {', '.join(driver.missing)}; {reason}"
    problem = None
    if reason:
        problem = StateRefused("gpu_backend_failed", f"The GPU plugin {plugin.name}: {reason}.")
    return GpuReport(driver, plugins, plugin, found, problem)
