"""Makes the tree of a release from the runtime and the wheels; the builder does the same.

Rules: the result depends on the inputs only, never on place or time: fixed modes, `.pyc` files that
are never checked against their sources and name them by their place below `/`.
"""

import os
import subprocess
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from installer.host import wheel
from installer.host.problems import InstallError

SITE: Final = "usr/lib/python3/dist-packages"
PYTHON: Final = "usr/bin/python"
_COMPILED: Final = ("usr/lib/python3.13", SITE)
CLEAN: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
"""The environment of everything that the installer starts."""


def assemble(
    runtime: Path,
    wheels: Iterable[tuple[str, Path]],
    root: Path,
    progress: Callable[[str], None],
) -> None:
    """Make the tree in the new directory `root`.

    Raises:
        InstallError: `manifest_invalid` for an archive or wheel that breaks a rule, `step_failed`
            when the bundled Python does not run here.
    """
    previous = os.umask(0o022)
    try:
        progress("runtime")
        unpack_runtime(runtime, root)
        for name, path in wheels:
            progress(name)
            wheel.unpack(path, root / SITE, name)
        progress("byte code")
        compile_all(root)
    finally:
        os.umask(previous)


def unpack_runtime(archive: Path, root: Path) -> None:
    """Unpack the archive of the runtime; no special or outside members (`manifest_invalid`)."""
    root.mkdir(parents=True, mode=0o755)
    try:
        with tarfile.open(archive, "r:gz") as members:
            members.extractall(root, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise InstallError("manifest_invalid", f"runtime.tar.gz: {error}") from error


def compile_all(root: Path) -> None:
    """Compile what Python imports, in one process and one order (`step_failed`)."""
    there = [str(root / name) for name in _COMPILED if (root / name).is_dir()]
    run_python(
        root,
        *("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
        *("-s", str(root), "-p", "/", *there),
    )


def run_python(root: Path, *arguments: str) -> str:
    """Run a tree's Python, isolated and without writing byte code; its output (`step_failed`)."""
    command = [str(root / PYTHON), "-I", "-B", *arguments]
    try:
        done = subprocess.run(
            command, env=CLEAN, cwd="/", capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise InstallError("step_failed", f"{command[0]}: {error.strerror}.") from error
    if done.returncode != 0:
        tail = (done.stdout + done.stderr).strip()[-2000:]
        raise InstallError("step_failed", f"{' '.join(arguments[:2])}: {tail}")
    return done.stdout
