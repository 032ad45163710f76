"""The host and the commit of a measurement; and memory of processes."""

import contextlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.host.hardware import host_facts
from installer.bundle.cpu_builds import of_host

CHECKOUT = Path(__file__).parents[1]


def machine(directory: Path) -> dict[str, Any]:
    """The host as `appliance.host.hardware` sees it, with ggml's name of its instruction sets, and
    the file system of the audit log.
    """
    facts = host_facts(directory)
    return {
        "cpu": f"{facts.cpu} ({of_host()[-1]})",
        "cores": facts.cores,
        "memory_gib": round(facts.memory / (1 << 30), 1),
        "kernel": facts.kernel,
        "python": platform.python_version(),
        "audit_file_system": _file_system(directory),
    }


def commit() -> str:
    """The commit of this checkout, with a + if files of it were changed."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def today() -> str:
    """The date and minute, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def resident(pids: list[int]) -> int:
    """Resident memory of processes together, in bytes (proc(5), VmRSS)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def children(pid: int) -> list[int]:
    """Direct children that still run."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def processor_s(pid: int) -> float:
    """Seconds of processor time of a process and its children so far, ended ones too."""
    ticks = 0
    for one in (pid, *children(pid)):
        with contextlib.suppress(FileNotFoundError):  # it has ended just now
            ticks += sum(_ticks(one))
    return ticks / os.sysconf("SC_CLK_TCK")


def alone_s(pid: int) -> float:
    """The same without children."""
    return sum(_ticks(pid)[:2]) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> list[int]:
    """Of its user and system time, then of its ended children's (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(field) for field in fields[11:15]]


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def _file_system(directory: Path) -> str:
    done = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()
