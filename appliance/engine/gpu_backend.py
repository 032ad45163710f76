"""Loads a GPU backend into a worker, in two steps around the restriction of files.

Rules: mapping the libraries runs nothing of the driver's; `start` does, once files are restricted,
so that its threads are restricted too.
"""

import ctypes
from pathlib import Path

from appliance.engine.confine import GpuAccess
from appliance.errors import StateRefused

_GPU = 1  # GGML_BACKEND_DEVICE_TYPE_GPU


def map_backend(backend: Path, engine: Path, devices: tuple[str, ...]) -> GpuAccess:
    """Map a backend and the driver's own library; `engine` is the directory of the loaded engine.

    `gpu_backend_failed` has the loader's words.
    """
    try:
        for name in ("libcuda.so.1", str(backend)):
            ctypes.CDLL(name)
    except OSError as error:
        raise StateRefused("gpu_backend_failed", f"The GPU backend: {error}") from error
    return GpuAccess(devices, lambda: start(backend, engine))


def start(backend: Path, engine: Path) -> None:
    """Register a mapped backend, which starts the driver; `gpu_backend_failed` without a GPU."""
    ggml = ctypes.CDLL(str(engine / "libggml.so"))
    ggml.ggml_backend_load.restype = ctypes.c_void_p
    ggml.ggml_backend_load.argtypes = [ctypes.c_char_p]
    if not ggml.ggml_backend_load(str(backend).encode()):
        raise StateRefused("gpu_backend_failed", f"The GPU backend {backend.name} did not load.")
    find = ggml.ggml_backend_dev_by_type
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_int]
    if not find(_GPU):
        raise StateRefused("gpu_backend_failed", f"The GPU backend {backend.name} has no GPU.")
