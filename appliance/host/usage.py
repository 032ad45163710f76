"""Resources used by the host and the appliance's own processes, as counters that only grow.

Parsing is pure; a process that is gone counts nothing. A rate is the difference of two readings.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_IDLE, _IOWAIT = 3, 4  # places in the first line of /proc/stat, proc_stat(5)
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class HostUsage:
    """Processor time and memory at a moment.

    Attributes:
        host_busy: seconds that the host's processors worked since it started.
        host_total: seconds that they had.
        own_cpu: seconds that the appliance's processes worked.
        own_memory: bytes that they hold, shared pages counted once for each.
    """

    host_busy: float
    host_total: float
    own_cpu: float
    own_memory: int


def usage(pids: Iterable[int]) -> HostUsage:
    """Read the host and these processes."""
    busy, total = parse_stat(text_of(Path("/proc/stat")))
    cpu, memory = 0.0, 0
    for pid in pids:
        seconds, size = parse_process(text_of(Path(f"/proc/{pid}/stat")))
        cpu, memory = cpu + seconds, memory + size
    return HostUsage(busy, total, cpu, memory)


def parse_stat(text: str) -> tuple[float, float]:
    """Busy and total processor seconds of `/proc/stat`; zeros if it is unreadable."""
    words = text.partition("\n")[0].split()
    numbers = [int(word) for word in words[1:9] if word.isascii() and word.isdecimal()]
    if words[:1] != ["cpu"] or len(numbers) <= _IOWAIT:
        return 0.0, 0.0
    total = sum(numbers)
    return (total - numbers[_IDLE] - numbers[_IOWAIT]) / _TICKS, total / _TICKS


def parse_process(text: str) -> tuple[float, int]:
    """Processor seconds and resident bytes of `/proc/PID/stat`; zeros if it is unreadable."""
    words = text.rpartition(")")[2].split()  # the name before may hold anything, ")" too
    try:
        return (int(words[11]) + int(words[12])) / _TICKS, int(words[21]) * _PAGE
    except (IndexError, ValueError):
        return 0.0, 0


def peak(pid: int) -> int:
    """The most bytes that a process has held since it began; 0 if that is unreadable."""
    return parse_peak(text_of(Path(f"/proc/{pid}/status")))


def parse_peak(text: str) -> int:
    """Bytes of the line VmHWM of `/proc/PID/status`; 0 if there is none."""
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if name == "VmHWM" and len(words) == 2 and words[0].isdecimal():
            return int(words[0]) << 10
    return 0


def text_of(path: Path) -> str:
    """Empty without the file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
