"""A descriptor as a C FILE: how llama.cpp reads models and adapters without opening anything."""

import contextlib
import ctypes
import os
from collections.abc import Iterator

from appliance.errors import StateRefused


@contextlib.contextmanager
def reading(fd: int) -> Iterator[int]:
    """The address of a FILE that reads a descriptor from its beginning; both are closed after it.

    `model_load_failed` for a descriptor that cannot be read.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fdopen.restype, libc.fdopen.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_char_p]
    libc.fclose.argtypes = [ctypes.c_void_p]
    os.lseek(fd, 0, os.SEEK_SET)
    file = libc.fdopen(fd, b"rb")
    if not file:
        os.close(fd)
        raise StateRefused("model_load_failed", "The descriptor cannot be read.")
    try:
        yield file
    finally:
        libc.fclose(file)
