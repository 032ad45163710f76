"""install.pyz: reproducible, complete, standard library only."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

from installer.bundle import pyz
from tests.conftest import CHECKOUT


def test_it_is_reproducible_and_starts(tmp_path: Path) -> None:
    pyz.pack(tmp_path / "a")
    pyz.pack(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    done = subprocess.run(
        [sys.executable, "-I", tmp_path / "a", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "rollback" in done.stdout


def test_it_holds_the_installer_and_nothing_else(tmp_path: Path) -> None:
    pyz.pack(tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "a") as archive:
        names = set(archive.namelist())
    modules = {f"installer/host/{p.name}" for p in (CHECKOUT / "installer/host").glob("*.py")}
    assert names == modules | {"__main__.py", "installer/__init__.py"}


def test_only_the_standard_library_is_imported() -> None:
    for path in (CHECKOUT / "installer" / "host").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                assert top in sys.stdlib_module_names or name.startswith("installer.host"), path
