"""Facts of this host: read from /proc and /sys, never by opening a socket."""

import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DRIVERS: Final = (("cuda13", 580), ("cuda12", 525))
"""Accelerators and the oldest NVIDIA driver (docs.nvidia.com/deploy/cuda-compatibility)."""

_DRIVER: Final = "/proc/driver/nvidia/version"


@dataclass(frozen=True)
class Space:
    """A file system: its device, free space and mount flags."""

    device: int
    free: int
    inodes: int | None
    noexec: bool
    readonly: bool


@dataclass(frozen=True)
class Host:
    """Facts that the checks before an installation use."""

    machine: str
    kernel: tuple[int, int]
    flags: frozenset[str]
    memory: int
    systemd: bool
    selinux: bool
    fapolicyd: bool
    fips: bool
    driver: int | None
    gpu: bool
    listening: frozenset[int]

    @property
    def accelerator(self) -> str:
        """The plugin that the driver can run, or ""."""
        driver = self.driver or 0
        return next((name for name, oldest in DRIVERS if self.gpu and driver >= oldest), "")


def host() -> Host:
    """Look at this host."""
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    flags = re.search(r"(?m)^flags\s*: (.*)$", _text("/proc/cpuinfo"))
    memory = re.search(r"(?m)^MemTotal:\s+(\d+) kB", _text("/proc/meminfo"))
    return Host(
        machine=platform.machine(),
        kernel=(int(version[1]), int(version[2])) if version else (0, 0),
        flags=frozenset(flags[1].split()) if flags else frozenset(),
        memory=int(memory[1]) << 10 if memory else 0,
        systemd=Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None,
        selinux=_text("/sys/fs/selinux/enforce").strip() == "1",
        fapolicyd=Path("/etc/fapolicyd").is_dir(),
        fips=_text("/proc/sys/crypto/fips_enabled").strip() == "1",
        driver=driver(),
        gpu=any(_nvidia()),
        listening=frozenset(_listening()),
    )


def driver() -> int | None:
    """The major version of the loaded NVIDIA driver."""
    found = re.search(r"Kernel Module\D+(\d+)\.", _text(_DRIVER))
    return int(found[1]) if found else None


def space(path: Path) -> Space:
    """The file system on which a path is or will be."""
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return Space(
        device=path.stat().st_dev,
        free=found.f_bavail * found.f_frsize,
        inodes=found.f_favail if found.f_files else None,
        noexec=bool(found.f_flag & os.ST_NOEXEC),
        readonly=bool(found.f_flag & os.ST_RDONLY),
    )


def _nvidia() -> Iterator[bool]:
    """For each PCI device, whether it is NVIDIA's and computes or displays."""
    for device in Path("/sys/bus/pci/devices").glob("*"):
        vendor, kind = _text(device / "vendor").strip(), _text(device / "class").strip()
        yield vendor == "0x10de" and kind.startswith("0x03")


def _listening() -> Iterator[int]:
    """TCP ports that some program listens on, in this network namespace."""
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _text(name).splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            if state == "0A":
                yield int(local.rpartition(":")[2], 16)


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
