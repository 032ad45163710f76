"""No core dumps: memory with keys and prompts in it never becomes a file.

Rules: every program that may hold a secret calls `forbid` before it reads one, since `exec` makes a
process dumpable again. The limit alone is not enough: the kernel pipes dumps to a collector anyway.

Source: core(5), prctl(2) PR_SET_DUMPABLE.
"""

import ctypes
import os
import resource
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def forbid() -> None:
    """Prevent core dumps of this process. Raises OSError where the kernel refuses."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, *(ctypes.c_ulong(0) for _ in range(4))) != 0:
        raise OSError(ctypes.get_errno(), f"prctl: {os.strerror(ctypes.get_errno())}")
