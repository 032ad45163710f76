"""The NVIDIA driver of the host and the GPU plugins next to the engine: facts, and which one fits.

Rules: nothing of NVIDIA's is loaded into this process. The newest plugin is used that was built
from the source of the installed engine and whose driver floor is reached. Formats:
`/proc/driver/nvidia/version` as the kernel module writes it; `plugin.json` of our plugin wheels.
"""

import importlib.util
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import StateRefused

NAMES = ("cuda13", "cuda12")  # the newest first
LIBRARY = "libggml-cuda.so"
_VERSION = re.compile(r"^NVRM version:.*?\s(\d{2,4}(?:\.\d{1,4}){1,2})\s", re.MULTILINE)
_LONGEST = 1 << 16


@dataclass(frozen=True)
class Driver:
    """The kernel's NVIDIA driver.

    Attributes:
        version: such as "550.163.01"; "unknown" when the kernel module does not say.
        nodes: the device files that CUDA opens.
        missing: those of them that do not exist.
    """

    version: str
    nodes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0]) if self.version[:1].isdecimal() else 0


@dataclass(frozen=True)
class Plugin:
    """A plugin wheel that is installed.

    Attributes:
        driver: the oldest major version of the driver that it runs on.
        engine: version of llama-cpp-python whose source it was built from.
    """

    name: str
    library: Path
    driver: int
    cuda: str
    architectures: tuple[str, ...]
    engine: str


def driver_facts(proc: Path = Path("/proc"), dev: Path = Path("/dev")) -> Driver | None:
    """The driver that is loaded, or None."""
    directory = proc / "driver" / "nvidia"
    try:
        with (directory / "version").open(encoding="utf-8", errors="replace") as file:
            text = file.read(_LONGEST)
    except OSError:
        return None
    found = _VERSION.search(text)
    cards = sorted(p.name for p in dev.glob("nvidia[0-9]*") if p.name[6:].isdecimal())
    wanted = ["nvidiactl", "nvidia-uvm", *(cards or ["nvidia0"])]
    missing = tuple(str(dev / name) for name in wanted if not (dev / name).exists())
    nodes = tuple(str(dev / name) for name in wanted if (dev / name).exists())
    return Driver(found[1] if found else "unknown", nodes, missing)


def installed_plugins() -> list[Plugin]:
    """The plugins in this Python, the newest first; nothing of them is imported.

    `gpu_plugin_mismatch` when one is damaged.
    """
    found = []
    for name in NAMES:
        spec = importlib.util.find_spec(f"appliance_{name}")
        if spec is not None and spec.origin is not None:
            found.append(read_plugin(Path(spec.origin).parent, name))
    return found


def read_plugin(directory: Path, name: str) -> Plugin:
    """Read the plugin's own statement (`gpu_plugin_mismatch` if unusable)."""
    try:
        facts = json.loads((directory / "plugin.json").read_bytes()[:_LONGEST])
        plugin = Plugin(
            name=str(facts["name"]),
            library=directory / LIBRARY,
            driver=int(facts["driver"]),
            cuda=str(facts["cuda"]),
            architectures=tuple(str(a) for a in facts["architectures"]),
            engine=str(facts["llama_cpp_python"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateRefused(
            "gpu_plugin_mismatch", f"The GPU plugin {name} is damaged: {error!r}."
        ) from error
    if plugin.name != name or not plugin.library.is_file():
        raise StateRefused("gpu_plugin_mismatch", f"The GPU plugin {name} is not complete.")
    return plugin


def fitting(plugins: Sequence[Plugin], driver: Driver, engine: str) -> Plugin:
    """The newest plugin that runs with this driver and belongs to this engine.

    Raises `gpu_plugin_missing`, `gpu_plugin_mismatch` or `gpu_driver_too_old`.
    """
    if not plugins:
        raise StateRefused(
            "gpu_plugin_missing",
            f"The NVIDIA driver {driver.version} is loaded, and no GPU plugin is installed.",
        )
    same = [plugin for plugin in plugins if plugin.engine == engine]
    if not same:
        raise StateRefused(
            "gpu_plugin_mismatch",
            f"The GPU plugin {plugins[0].name} was built for llama-cpp-python "
            f"{plugins[0].engine}; {engine} is installed.",
        )
    able = [plugin for plugin in same if driver.major >= plugin.driver]
    if not able:
        floors = ", ".join(f"{plugin.name} needs {plugin.driver}" for plugin in same)
        raise StateRefused(
            "gpu_driver_too_old", f"The NVIDIA driver is {driver.version}; {floors} or newer."
        )
    return max(able, key=lambda plugin: plugin.driver)
