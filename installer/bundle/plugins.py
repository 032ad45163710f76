"""The wheels of an accelerator that go onto the stick: one plugin, and exactly its libraries."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

from installer.bundle.cuda_recipe import PLUGINS, Plugin, selected
from installer.bundle.locks import read_lock
from installer.bundle.plugin_gate import FACTS, check_plugin_wheel
from installer.bundle.steps import BundleError
from installer.bundle.wheel_facts import read_wheel


def check(plugins: Sequence[tuple[str, Path]]) -> None:
    """Refuse wheels, each with the name of its accelerator, that a host could not use."""
    for name in sorted({name for name, _ in plugins}):
        if name not in PLUGINS:
            raise BundleError(f"no accelerator {name}; there are {', '.join(sorted(PLUGINS))}")
        _check_one(PLUGINS[name], [path for other, path in plugins if other == name])


def _check_one(plugin: Plugin, wheels: Sequence[Path]) -> None:
    own = [path for path in wheels if path.name.startswith(f"{plugin.package}-")]
    if len(own) != 1:
        raise BundleError(f"{plugin.name}: {len(own)} wheels of {plugin.package}, not one")
    check_plugin_wheel(own[0], selected(plugin, _architectures(own[0], plugin)))
    lock = {(e.name, e.version): e.hashes for e in read_lock(plugin.lock)}
    beside = [read_wheel(path) for path in wheels if path not in own]
    found = {(wheel.name, wheel.version): wheel.sha256 for wheel in beside}
    if found.keys() != lock.keys() or len(beside) != len(found):
        wanted = ", ".join(f"{project} {version}" for project, version in sorted(lock))
        raise BundleError(f"{plugin.name}: it needs {wanted} next to it, and nothing else")
    for project, digest in found.items():
        if digest not in lock[project]:
            raise BundleError(f"{plugin.name}: {project[0]} is not a wheel of {plugin.lock.name}")


def _architectures(path: Path, plugin: Plugin) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            facts = json.loads(archive.read(f"{plugin.package}/{FACTS}"))
        return ",".join(str(name) for name in facts["architectures"])
    except (zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path.name}: no facts of a plugin: {error!r}") from error
