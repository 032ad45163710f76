"""Which CPU build of ggml this host can run: found by trying, in a child process.

ggml's own detection reads CPUID without asking whether the operating system saves the registers,
so a library can be chosen that dies with SIGILL. Here each candidate, best score first, multiplies
two small matrices in a child process; the first one that gives the right product is used, and it
is loaded by absolute path.

usage (the child): python -I -m appliance.workers.cpu_variants score|multiply LIBRARY...
"""

import ctypes
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from appliance.errors import StateRefused

_F32 = 0
_SIZE = 64


def library_directory() -> Path:
    """Where the installed llama.cpp wheel keeps its libraries; nothing is imported.

    Raises:
        StateRefused: `model_load_failed` when the wheel is not installed.
    """
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise StateRefused("model_load_failed", "llama-cpp-python is not installed.")
    return Path(spec.origin).parent / "lib"


def name_of(library: Path) -> str:
    """The variant that a library is: libggml-cpu-NAME.so."""
    return library.stem.removeprefix("libggml-cpu-")


class HostVariant:
    """The best variant of this host, looked for once."""

    def __init__(self) -> None:
        self._found: Path | None = None
        self._missing = False

    def path(self) -> Path:
        """The library; the first call takes some tenths of a second.

        Raises:
            StateRefused: `model_load_failed` when none runs here.
        """
        if self._found is None:
            self._found = best_variant(library_directory())
        return self._found

    @property
    def name(self) -> str:
        """The variant's name; "" when none runs here, which a load will say."""
        if self._missing:
            return ""
        try:
            return name_of(self.path())
        except StateRefused:
            self._missing = True
            return ""


def best_variant(directory: Path) -> Path:
    """The fastest CPU library that works here.

    Raises:
        StateRefused: `model_load_failed` when none does.
    """
    candidates = sorted(directory.glob("libggml-cpu-*.so")) or sorted(
        directory.glob("libggml-cpu.so")
    )
    scores = json.loads(_child("score", *map(str, candidates)) or "{}")
    for path in sorted(scores, key=lambda p: -scores[p]):
        if scores[path] > 0 and _child("multiply", path) == "ok":
            return Path(path)
    raise StateRefused(
        "model_load_failed", f"No CPU library in {directory.name} runs on this host."
    )


def _child(*arguments: str) -> str | None:
    """Run this module in a child; its output, or None if it died."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "appliance.workers.cpu_variants", *arguments],
        env={},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else None


def score(libraries: list[str]) -> dict[str, int]:
    """ggml's score of each library on this CPU; 0 means that it cannot run."""
    scores = dict.fromkeys(libraries, 0)
    for path in libraries:
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        function = getattr(library, "ggml_backend_score", None)
        scores[path] = int(function()) if function else 1
    return scores


class _InitParams(ctypes.Structure):
    """`struct ggml_init_params`."""

    _fields_ = [
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    ]


def call(library: ctypes.CDLL, name: str, result: Any, *pairs: tuple[Any, Any]) -> Any:
    """Call a C function by name with typed arguments, each with its type."""
    function = getattr(library, name)
    function.restype, function.argtypes = result, [kind for kind, _ in pairs]
    return function(*(value for _, value in pairs))


def multiply(path: str) -> bool:
    """Load a library by path and compute a product with it; whether it is right."""
    directory = Path(path).parent
    base = ctypes.CDLL(str(directory / "libggml-base.so"), mode=ctypes.RTLD_GLOBAL)
    ggml = ctypes.CDLL(str(directory / "libggml.so"), mode=ctypes.RTLD_GLOBAL)
    pointer = ctypes.c_void_p
    if not call(ggml, "ggml_backend_load", pointer, (ctypes.c_char_p, path.encode())):
        return False
    backend = call(ggml, "ggml_backend_init_by_type", pointer, (ctypes.c_int, 0), (pointer, None))
    return product_is_right(base, backend)


def product_is_right(base: ctypes.CDLL, backend: int) -> bool:
    """Multiply two matrices of small whole numbers on a backend and compare with Python.

    The numbers are exact in every float type that a GPU may compute with.
    """
    pointer, integer, size = ctypes.c_void_p, ctypes.c_int64, ctypes.c_size_t
    context = call(base, "ggml_init", pointer, (_InitParams, _InitParams(1 << 20, None, True)))
    a, b = (
        call(
            base,
            "ggml_new_tensor_2d",
            pointer,
            (pointer, context),
            (ctypes.c_int, _F32),
            (integer, _SIZE),
            (integer, _SIZE),
        )
        for _ in range(2)
    )
    product = call(base, "ggml_mul_mat", pointer, (pointer, context), (pointer, a), (pointer, b))
    graph = call(base, "ggml_new_graph", pointer, (pointer, context))
    call(base, "ggml_build_forward_expand", None, (pointer, graph), (pointer, product))
    call(base, "ggml_backend_alloc_ctx_tensors", pointer, (pointer, context), (pointer, backend))
    array = ctypes.c_float * (_SIZE * _SIZE)
    left = array(*(float((3 * i) % 7 - 3) for i in range(_SIZE * _SIZE)))
    right = array(*(float((5 * i) % 11 - 5) for i in range(_SIZE * _SIZE)))
    nbytes = ctypes.sizeof(array)
    for tensor, values in ((a, left), (b, right)):
        call(
            base,
            "ggml_backend_tensor_set",
            None,
            (pointer, tensor),
            (pointer, ctypes.addressof(values)),
            (size, 0),
            (size, nbytes),
        )
    if call(base, "ggml_backend_graph_compute", ctypes.c_int, (pointer, backend), (pointer, graph)):
        return False
    out = array()
    call(
        base,
        "ggml_backend_tensor_get",
        None,
        (pointer, product),
        (pointer, ctypes.addressof(out)),
        (size, 0),
        (size, nbytes),
    )
    wanted = [
        sum(left[r * _SIZE + k] * right[c * _SIZE + k] for k in range(_SIZE))
        for c in range(_SIZE)
        for r in range(_SIZE)
    ]
    return list(out) == wanted


if __name__ == "__main__":
    if sys.argv[1] == "score":
        sys.stdout.write(json.dumps(score(sys.argv[2:])))
    else:
        sys.stdout.write("ok" if multiply(sys.argv[2]) else "wrong")
