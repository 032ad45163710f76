"""The host's resources: processor, memory, kernel, confinement, disk. Sizes are bytes.

Rules: parsing is pure; a missing line is an empty or zero value, never an error; only `host_facts`
reads the host.
"""

import ctypes
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from appliance.host.usage import text_of

# What the worker's confinement and the sealed copies need (openat2 5.6, Landlock 5.13).
OLDEST_KERNEL = (5, 13)
_LANDLOCK_CREATE_RULESET = 444  # the same number on every architecture
_LANDLOCK_CREATE_RULESET_VERSION = 1
_UNLIMITED = 1 << 60  # cgroup v1 writes a huge number for "no limit"


@dataclass(frozen=True)
class HostFacts:
    """The host as it is now.

    Attributes:
        cores: processors that this process may run on.
        memory: main memory, or the control group's limit where that is lower.
        landlock_abi: version of the Landlock interface, 0 when the kernel has none.
        disk_free: space on the file system of the data directory that this user may fill.
    """

    cpu: str
    cpu_flags: frozenset[str]
    cores: int
    memory: int
    memory_available: int
    kernel: str
    architecture: str
    seccomp: bool
    landlock_abi: int
    disk_total: int
    disk_free: int
    name: str = ""


def host_facts(directory: Path) -> HostFacts:
    """Read the host; `directory` names the file system whose space counts."""
    cpu, flags = parse_cpuinfo(text_of(Path("/proc/cpuinfo")))
    disk = shutil.disk_usage(_existing(directory))
    return HostFacts(
        cpu=cpu or platform.processor() or "unknown",
        cpu_flags=flags,
        cores=available_cores(),
        memory=total_memory(),
        memory_available=available_memory(),
        kernel=platform.release(),
        architecture=platform.machine(),
        seccomp="kill_process" in text_of(Path("/proc/sys/kernel/seccomp/actions_avail")).split(),
        landlock_abi=landlock_abi(),
        disk_total=disk.total,
        disk_free=disk.free,
        name=platform.node(),
    )


def available_cores() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0))


def compute_threads(cores: int) -> int:
    """Threads of a worker where none are configured.

    One core is left to the server where there are more than two. On two the server has little to do
    while the worker computes, and the worker gives a core up when it is contended.
    """
    return cores - 1 if cores > 2 else cores


def total_memory() -> int:
    """Main memory, or the control group's limit where that is lower; bytes."""
    total = _meminfo().get("MemTotal", 0)
    limit = parse_cgroup_limit(
        text_of(Path("/sys/fs/cgroup/memory.max"))
        or text_of(Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
    )
    return min(total, limit) if limit else total


def available_memory() -> int:
    """Memory that can be had without swapping; bytes."""
    return _meminfo().get("MemAvailable", 0)


def parse_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """Model name and feature flags of the first processor in `/proc/cpuinfo`."""
    first: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            first.setdefault(name.strip(), value.strip())
    model = first.get("model name") or first.get("Model") or first.get("Hardware") or ""
    return model, frozenset((first.get("flags") or first.get("Features") or "").split())


def parse_meminfo(text: str) -> dict[str, int]:
    """`/proc/meminfo` in bytes; lines that are not `Name: N kB` are left out."""
    sizes = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[0].isdecimal() and words[0].isascii() and words[1] == "kB":
            sizes[name.strip()] = int(words[0]) * 1024
    return sizes


def parse_cgroup_limit(text: str) -> int | None:
    """Bytes of `memory.max`, or None when there is no limit."""
    value = text.strip()
    if not (value.isascii() and value.isdecimal() and len(value) < 20):
        return None
    return int(value) if int(value) < _UNLIMITED else None


def parse_kernel(release: str) -> tuple[int, int]:
    """Major and minor number of a kernel release such as `6.1.0-18-amd64`; (0, 0) if unreadable."""
    numbers = release.split("-")[0].split(".")[:2]
    if len(numbers) < 2 or not all(n.isascii() and n.isdecimal() and len(n) < 6 for n in numbers):
        return 0, 0
    return int(numbers[0]), int(numbers[1])


def landlock_abi() -> int:
    """Version of the Landlock interface, 0 when it is missing or switched off.

    Source: landlock(7), `LANDLOCK_CREATE_RULESET_VERSION`.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version: int = libc.syscall(
        _LANDLOCK_CREATE_RULESET,
        ctypes.c_void_p(None),
        ctypes.c_size_t(0),
        ctypes.c_uint32(_LANDLOCK_CREATE_RULESET_VERSION),
    )
    return max(version, 0)


def problems(facts: HostFacts) -> list[str]:
    """All problems of the host that keep the product from working, one sentence each."""
    found = []
    if parse_kernel(facts.kernel) < OLDEST_KERNEL:
        wanted = ".".join(map(str, OLDEST_KERNEL))
        found.append(f"Kernel {facts.kernel} is older than {wanted}.")
    if not facts.seccomp:
        found.append("The kernel has no seccomp filter, so no worker can be confined.")
    if facts.landlock_abi < 1:
        found.append("Landlock is missing or switched off, so no worker can be confined.")
    if facts.architecture not in ("x86_64", "aarch64"):
        found.append(f"The architecture {facts.architecture} is not supported.")
    return found


def _meminfo() -> dict[str, int]:
    return parse_meminfo(text_of(Path("/proc/meminfo")))


def _existing(directory: Path) -> Path:
    return next((p for p in (directory, *directory.parents) if p.exists()), Path("/"))
