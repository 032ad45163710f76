"""All problems before anything is changed, in one report.

Rules: nothing is written; no check stops the others. The clock decides nothing here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from installer.host import facts
from installer.host.answers import Answers, Layout
from installer.host.facts import Host
from installer.host.manifest import Manifest, Part, model_names
from installer.host.problems import InstallError
from installer.host.store import Media, Store

OURS: Final = "made by the installer of the appliance"
"""In every file that the installer makes outside of its own directories."""
_RESERVE: Final = 320 << 20
"""Bytes that data need at the start: below 256 MiB the audit log takes no requests."""
_COUNTERS: Final = (2025, 2036)


@dataclass(frozen=True)
class InstallPlan:
    """The release to install, and its places."""

    manifest: Manifest
    parts: list[Part]
    media: Media
    store: Store
    layout: Layout
    answers: Answers
    counter: int
    current: str | None

    def absent_models(self) -> list[str]:
        """Models that the answers ask for and the bundle does not carry."""
        return sorted(set(self.answers.models) - set(model_names(self.manifest.parts)))

    def models_told(self, absent: list[str]) -> str:
        there = ", ".join(model_names(self.manifest.parts)) or "no model"
        return f"This bundle does not carry {', '.join(absent)}; it carries {there}."


def problems(plan: InstallPlan, host: Host, *, uid: int) -> Iterator[InstallError]:
    """Everything that is in the way."""
    layout, manifest = plan.layout, plan.manifest
    if uid != 0 and not layout.user:
        yield InstallError("not_root", "This installs for the whole host.")
    if host.machine != manifest.machine:
        yield InstallError(
            "machine_unsupported", f"Bundle {manifest.machine}, host {host.machine}."
        )
    elif "sse4_2" not in host.flags:
        yield InstallError("cpu_unsuitable", "The processor has no SSE4.2.")
    if host.kernel < _version(manifest.requires.kernel):
        yield InstallError(
            "kernel_too_old",
            f"Linux {host.kernel[0]}.{host.kernel[1]}; {manifest.requires.kernel} is needed.",
        )
    if host.memory < manifest.requires.memory_mib << 20:
        yield InstallError(
            "memory_low",
            f"{host.memory >> 20} MiB of memory; {manifest.requires.memory_mib} MiB are needed.",
        )
    if manifest.counter < plan.counter:
        yield InstallError(
            "bundle_older", f"Counter {manifest.counter}; {plan.counter} was installed here."
        )
    yield from _disks(plan)
    yield from _missing(plan)
    if plan.answers.service == "systemd" and not host.systemd:
        yield InstallError("systemd_missing", "systemd does not run on this host.")
    if plan.current is None and plan.answers.port in host.listening:
        yield InstallError("port_taken", f"Something listens on port {plan.answers.port}.")
    yield from _places(layout)
    yield from _trust(plan)
    absent = [] if plan.current else plan.absent_models()
    if absent:
        yield InstallError("model_missing", plan.models_told(absent))


def warnings(plan: InstallPlan, host: Host, *, year: int) -> Iterator[str]:
    """Notes for the admin that stop nothing."""
    if not _COUNTERS[0] <= year <= _COUNTERS[1]:
        yield f"The clock says {year}. Nothing here depends on it; set it before entries are made."
    absent = plan.absent_models() if plan.current else []
    if absent:
        yield f"{plan.models_told(absent)} Those that are installed stay."
    if host.selinux:
        yield "SELinux enforces: files get the labels of their places (restorecon)."
    if host.fapolicyd:
        yield "fapolicyd is configured: a trust file is installed; commands may need a rule."
    if host.fips:
        yield "FIPS mode: approved algorithms are used; the bundled OpenSSL is not validated."
    if host.gpu and not host.accelerator:
        driver = host.driver or "none"
        yield f"GPU PRESENT, NOT USED: driver {driver}; CUDA needs driver 525 or newer."
    elif host.accelerator and not any(part.kind == "plugin" for part in plan.parts):
        yield f"GPU PRESENT, NOT USED: this bundle has no plugin for {host.accelerator}."


def _disks(plan: InstallPlan) -> Iterator[InstallError]:
    """Space for copies, the unpacked tree and records, a tenth more, by file system."""
    copied = sum(part.size for part in plan.parts if not plan.store.has(part))
    models = sum(part.size for part in plan.parts if part.kind == "model")
    tree = plan.manifest.tree
    needs: dict[int, tuple[int, int, list[Path]]] = {}
    for path, size, entries in (
        (plan.layout.state, copied + models, len(plan.parts)),
        (plan.layout.releases, tree.bytes, tree.entries),
        (plan.layout.data, models + _RESERVE, 1000),
    ):
        device = facts.space(path).device
        before = needs.get(device, (0, 0, []))
        needs[device] = (before[0] + size, before[1] + entries, [*before[2], path])
    for size, entries, paths in needs.values():
        found = facts.space(paths[0])
        names = ", ".join(str(path) for path in paths)
        if found.free < size * 11 // 10:
            yield InstallError(
                "disk_full",
                f"{names}: {found.free >> 20} MiB free, {(size * 11 // 10 >> 20) + 1} needed.",
            )
        if found.inodes is not None and found.inodes < entries * 11 // 10:
            yield InstallError("inodes_low", f"{names}: {found.inodes} inodes free.")
    for path in (plan.layout.state, plan.layout.releases, plan.layout.data):
        found = facts.space(path)
        if found.readonly:
            yield InstallError("mount_readonly", f"{path} is on a file system mounted read-only.")
        if found.noexec and path == plan.layout.releases:
            yield InstallError("mount_noexec", f"{path} is on a file system mounted noexec.")


def _missing(plan: InstallPlan) -> Iterator[InstallError]:
    absent = [part for part in plan.parts if not plan.store.has(part)]
    for chunk, code in plan.media.missing(absent):
        yield InstallError(code, f"{chunk.path} ({chunk.size} bytes).")


def _places(layout: Layout) -> Iterator[InstallError]:
    data = layout.data
    if data.exists() and not (data / "appliance.toml").is_file():
        if not data.is_dir() or any(data.iterdir()):
            yield InstallError("data_unusable", f"{data} holds something else.")
        elif data.is_mount():
            yield InstallError("data_unusable", f"{data} is a mount point; use one below it.")
    for name in ("appliance", "appliance-installer"):
        path = layout.commands / name
        if path.is_file() and OURS not in path.read_text(errors="replace"):
            yield InstallError("command_taken", f"{path} is not of this product.")


def _trust(plan: InstallPlan) -> Iterator[InstallError]:
    """A site's first installation needs the metadata of its security officer."""
    if plan.answers.profile != "site" or (plan.layout.data / "appliance.toml").is_file():
        return
    if plan.answers.trust:
        root = Path(plan.answers.trust, "metadata", "1.root.json")
        if not root.is_file():
            yield InstallError("trust_missing", f"{root} is not there.")
    elif not any(part.kind == "trust" for part in plan.parts):
        yield InstallError("trust_missing", "This bundle carries no trust metadata.")


def _version(text: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
