"""Tries a GPU backend in a child process: load it, list its GPUs, compute on each.

Only the child loads NVIDIA's libraries; a signal or a hang there becomes a reason.

usage (the child): python -I -m appliance.workers.gpu_probe DIRECTORY LIBRARY
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from appliance.config import ModelConfig
from appliance.facts import ModelFacts
from appliance.workers import cpu_variants, ggml_graphs
from appliance.workers.gpu_devices import Device, Probe, choose
from appliance.workers.gpu_driver import Plugin, driver_facts, installed_plugins
from appliance.workers.gpu_layers import GpuMemory, needs_of

SECONDS = 120  # a GPU without native code in the plugin has its kernels compiled first
_GPU = 1  # GGML_BACKEND_DEVICE_TYPE_GPU
_LOADED = "load_backend: loaded"  # what ggml says last, of a backend without a GPU, too
_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


def probe(plugin: Plugin, directory: Path, seconds: float = SECONDS) -> Probe:
    """Probe a plugin on this host; `directory` has the engine's own libraries."""
    command = [sys.executable, "-I", "-m", "appliance.workers.gpu_probe"]
    try:
        done = subprocess.run(
            [*command, str(directory), str(plugin.library)],
            env={"CUDA_CACHE_DISABLE": "1", "GGML_NO_BACKTRACE": "1"},
            cwd="/",
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Probe(problem=f"it did not answer within {seconds:g} s")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return Probe(problem=f"it ended the process with {name}: {_tail(done.stderr)}")
    if done.returncode:
        return Probe(problem=_tail(done.stderr))
    return parse(done.stdout)


def device_for(facts: ModelFacts, config: ModelConfig, engine: str) -> Device:
    """The device for a model on this host now."""
    return choose(
        config.device,
        config.n_gpu_layers or None,
        needs_of(facts, config),
        driver=driver_facts(),
        plugins=installed_plugins,
        engine=engine,
        probe=lambda plugin: probe(plugin, cpu_variants.library_directory()),
    )


def parse(output: bytes) -> Probe:
    """Parse the child's output; anything unexpected is a problem, too."""
    try:
        value = json.loads(output)
        gpus = tuple(
            GpuMemory(str(g["name"]), int(g["total"]), int(g["free"])) for g in value["gpus"]
        )
        cuda, library = str(value["cuda"]), str(value["driver_library"])
        return Probe(gpus, str(value["problem"]), cuda, library)
    except (ValueError, KeyError, TypeError) as error:
        return Probe(problem=f"its answer cannot be read: {error!r}")


def _tail(stderr: bytes) -> str:
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][-300:] if lines else "no reason given"


def driver_library() -> tuple[str, str]:
    """CUDA version and path of the driver's own library, in this process; "" without it."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "", ""
    version = ctypes.c_int()
    if cuda.cuDriverGetVersion(ctypes.byref(version)):
        return "", ""
    paths = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    path = next((p for p in sorted(paths) if Path(p).name.startswith("libcuda.so")), "")
    return f"{version.value // 1000}.{version.value % 1000 // 10}", path


def try_backend(directory: str, library: str) -> dict[str, Any]:
    """Load a backend in this process and compute on each of its GPUs."""
    said: list[str] = []
    cuda, path = driver_library()
    answer: dict[str, Any] = {"gpus": [], "problem": "", "cuda": cuda, "driver_library": path}
    base = ctypes.CDLL(f"{directory}/libggml-base.so", mode=ctypes.RTLD_GLOBAL)
    ggml = ctypes.CDLL(f"{directory}/libggml.so", mode=ctypes.RTLD_GLOBAL)

    def log(_level: int, text: bytes, _data: object) -> None:
        said.append(text.decode("utf-8", "replace").strip())

    callback = _LOG(log)  # kept as long as the library can call it: to the end of the process
    base.ggml_log_set(callback, None)
    try:
        ctypes.CDLL(library)  # for the loader's own words: ggml only says that it failed
    except OSError as error:
        return answer | {"problem": f"it does not load: {error}"}
    call, pointer, size = ggml_graphs.call, ctypes.c_void_p, ctypes.c_size_t
    registered = call(ggml, "ggml_backend_load", pointer, (ctypes.c_char_p, library.encode()))
    if not registered:
        return answer | {"problem": f"it was not accepted: {said[-1] if said else 'no reason'}"}
    for index in range(call(base, "ggml_backend_reg_dev_count", size, (pointer, registered))):
        device = call(
            base, "ggml_backend_reg_dev_get", pointer, (pointer, registered), (size, index)
        )
        if call(base, "ggml_backend_dev_type", ctypes.c_int, (pointer, device)) != _GPU:
            continue
        name = call(base, "ggml_backend_dev_description", ctypes.c_char_p, (pointer, device))
        free, total = size(), size()
        places = [(pointer, ctypes.addressof(place)) for place in (free, total)]
        call(base, "ggml_backend_dev_memory", None, (pointer, device), *places)
        backend = call(
            base, "ggml_backend_dev_init", pointer, (pointer, device), (ctypes.c_char_p, None)
        )
        text = name.decode("utf-8", "replace")
        if not backend or not ggml_graphs.product_is_right(base, backend):
            return answer | {"problem": f"{text} computed a wrong product"}
        answer["gpus"].append({"name": text, "free": free.value, "total": total.value})
    if not answer["gpus"]:
        reasons = [line for line in said if not line.startswith(_LOADED)]
        answer["problem"] = reasons[-1] if reasons else "it found no GPU"
    return answer


if __name__ == "__main__":
    sys.stdout.write(json.dumps(try_backend(sys.argv[1], sys.argv[2])))
    sys.stdout.flush()
    os._exit(0)  # an orderly exit would run the destructors of a driver that may be broken
