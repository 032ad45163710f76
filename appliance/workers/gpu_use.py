"""Use of the host's NVIDIA GPUs, from NVML in a child process that stays.

Rules: only the child loads NVIDIA's library; it answers a line with a line and ends with its
parent. Without a driver or library, or while the child is silent, there are no GPUs.

usage (the child): python -I -m appliance.workers.gpu_use

Source: NVML API reference, device queries.
"""

import ctypes
import json
import os
import select
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LIBRARY: Final = "libnvidia-ml.so.1"
_ANSWER_S: Final = 2.0
_AGAIN_S: Final = 60.0
_LONGEST: Final = 1 << 16


@dataclass(frozen=True)
class GpuInUse:
    """One GPU at a moment; sizes in bytes, `busy_percent` None where the driver does not say."""

    name: str
    memory: int
    memory_used: int
    busy_percent: int | None


class GpuWatch:
    """Asks the child; callable from any thread.

    Args:
        driver: exists while a driver is loaded.
    """

    def __init__(
        self,
        command: tuple[str, ...] = (sys.executable, "-I", "-m", "appliance.workers.gpu_use"),
        driver: Path = Path("/proc/driver/nvidia/version"),
    ) -> None:
        self._command, self._driver = command, driver
        self._child: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0
        self._lock = threading.Lock()

    def look(self) -> list[GpuInUse]:
        """The GPUs now; none while something is wrong, retried after a minute."""
        with self._lock:
            if time.monotonic() < self._not_before or not self._driver.exists():
                return []
            try:
                return parse(self._asked())
            except (OSError, ValueError):
                self._end()
                self._not_before = time.monotonic() + _AGAIN_S
                return []

    def close(self) -> None:
        with self._lock:
            self._end()

    def _asked(self) -> bytes:
        if self._child is None:
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, cwd="/", env={},
            )  # fmt: skip
        asked, told = self._child.stdin, self._child.stdout
        if asked is None or told is None:
            raise OSError("the child has no pipes")
        os.write(asked.fileno(), b"\n")
        answer, end = b"", time.monotonic() + _ANSWER_S
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([told], [], [], max(0.0, end - time.monotonic()))
            piece = os.read(told.fileno(), _LONGEST) if ready else b""
            if not piece or len(answer) > _LONGEST:
                raise OSError("the child is silent")
            answer += piece
        return answer

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe is not None:
                    pipe.close()
            self._child.wait()
            self._child = None


def parse(line: bytes) -> list[GpuInUse]:
    """Read the child's line."""
    try:
        return [
            GpuInUse(str(n), int(m), int(u), None if b is None else int(b))
            for n, m, u, b in json.loads(line)
        ]
    except TypeError as error:
        raise ValueError(str(error)) from error


class _Memory(ctypes.Structure):
    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


def read(nvml: ctypes.CDLL) -> list[list[str | int | None]]:
    """Name, memory, used memory and busy percent of each GPU, from an initialised NVML."""
    count = ctypes.c_uint()
    nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    found: list[list[str | int | None]] = []
    for number in range(count.value):
        device, name, memory, use = (
            ctypes.c_void_p(),
            (ctypes.c_char * 96)(),
            _Memory(),
            _Utilization(),
        )
        if nvml.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(device)):
            continue
        nvml.nvmlDeviceGetName(device, name, 96)
        if nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)):
            continue
        silent = nvml.nvmlDeviceGetUtilizationRates(device, ctypes.byref(use))
        text = name.value.decode("utf-8", "replace")
        found.append([text, memory.total, memory.used, None if silent else use.gpu])
    return found


if __name__ == "__main__":
    library = ctypes.CDLL(LIBRARY)
    if library.nvmlInit_v2():
        sys.exit("NVML does not begin")
    for _ in sys.stdin:
        sys.stdout.write(json.dumps(read(library)) + "\n")
        sys.stdout.flush()
