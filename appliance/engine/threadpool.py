"""The threads that compute with llama.cpp: one pool for the life of a context.

Rules: the pool is made after the confinement, which its threads inherit; a thread without work
sleeps at once, so that it takes nothing from the server between two steps.
"""

import ctypes
from pathlib import Path
from typing import Any

from appliance.errors import StateRefused

_MOST = 512  # GGML_MAX_N_THREADS
_POLL = 0  # of 100: how long a thread without work spins before it sleeps


class _ThreadpoolParams(ctypes.Structure):
    """`struct ggml_threadpool_params` of ggml.h."""

    _fields_ = (
        ("cpumask", ctypes.c_bool * _MOST),
        ("n_threads", ctypes.c_int),
        ("prio", ctypes.c_int),
        ("poll", ctypes.c_uint32),
        ("strict_cpu", ctypes.c_bool),
        ("paused", ctypes.c_bool),
    )


def attach(variant: Path, context: Any, threads: int) -> None:
    """Give a context a pool of threads, which lives as long as the process; `model_load_failed` if
    none starts.

    Args:
        threads: the most that a step can use.
    """
    base = ctypes.CDLL(str(variant.parent / "libggml-base.so"))
    cpu = ctypes.CDLL(str(variant))
    llama = ctypes.CDLL(str(variant.parent / "libllama.so"))
    base.ggml_threadpool_params_init.argtypes = [ctypes.POINTER(_ThreadpoolParams), ctypes.c_int]
    base.ggml_threadpool_params_init.restype = None
    cpu.ggml_threadpool_new.argtypes = [ctypes.POINTER(_ThreadpoolParams)]
    cpu.ggml_threadpool_new.restype = ctypes.c_void_p
    llama.llama_attach_threadpool.argtypes = [ctypes.c_void_p] * 3
    llama.llama_attach_threadpool.restype = None
    params = _ThreadpoolParams()
    base.ggml_threadpool_params_init(params, threads)
    params.poll = _POLL
    pool = cpu.ggml_threadpool_new(params)
    if not pool:
        raise StateRefused("model_load_failed", f"{threads} threads could not be started.")
    llama.llama_attach_threadpool(context, pool, pool)
