"""A descriptor as a C FILE."""

import ctypes
import os
from pathlib import Path

import pytest

from appliance.engine.cfile import reading
from appliance.errors import StateRefused


def test_it_reads_from_the_beginning_and_closes_the_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")
    fd = os.open(path, os.O_RDONLY)
    os.lseek(fd, 3, os.SEEK_SET)
    libc = ctypes.CDLL(None)
    libc.fgetc.argtypes = [ctypes.c_void_p]
    with reading(fd) as file:
        assert [libc.fgetc(file) for _ in range(3)] == [*b"abc"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_descriptor_that_cannot_be_read_is_refused_and_closed(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(StateRefused) as caught, reading(fd):
        pass
    assert caught.value.code == "model_load_failed"
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
